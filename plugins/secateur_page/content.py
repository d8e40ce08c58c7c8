"""What a page says of a run, figure by figure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from secateur import RecordedWeight, Recording
from secateur_page.frames import Frames, last_mask
from secateur_page.text import in_bytes, shown


@dataclass(frozen=True)
class Summary:
    """The run as a whole.

    Attributes:
        name: The name of the policy, "" without one.
        fingerprint: Its fingerprint.
        adapter: The adapter.
        versions: The name and version of each package.
        size: The number of prunable weights.
        kept: How many of them stay.
        sparsity: The fraction that is pruned.
        step: The step of the last update.
        updates: How many steps have updated a mask.
        pruned: How many arrays have a mask.
        raw: The size of all values.
        packed: The size of a bit for each weight and the values that stay.
        deflated: The size when DEFLATE compresses the values, None where it was not measured.

    """

    name: str
    fingerprint: str
    adapter: str
    versions: tuple[tuple[str, str], ...]
    size: int
    kept: int
    sparsity: float
    step: int
    updates: int
    pruned: int
    raw: str
    packed: str
    deflated: str | None


@dataclass(frozen=True)
class WeightRow:
    """One weight in the table.

    Attributes:
        full_name: Its name.
        name: Its name as the page shows it.
        kind: Its kind.
        shape: Its shape.
        size: The number of its elements.
        kept: How many stay.
        sparsity: The fraction that is pruned.
        target: Its final sparsity; None where the scores decide it.
        rule: What decides it.
        pruned: Whether it has a mask.
        raw_bytes: The size of its values.
        raw: The same for people.
        shows: What the dots of its pictures are.
        other: The sparsity of the other run, None without one.
        change: How much sparser it is than in the other run, None without one.
        differing: The fraction of its mask that differs from the other run's, None without one.

    """

    full_name: str
    name: str
    kind: str
    shape: str
    size: int
    kept: int
    sparsity: float
    target: float | None
    rule: str
    pruned: bool
    raw_bytes: int
    raw: str
    shows: str
    other: float | None
    change: float | None
    differing: float | None


@dataclass(frozen=True)
class Comparison:
    """The run beside the other one.

    Attributes:
        same_policy: Whether both have one fingerprint.
        name: The name of the other policy.
        fingerprint: Its fingerprint.
        sparsity: The sparsity of the other run.
        change: How much sparser this one is.
        differing: The fraction of the masks that both recorded that differs; None without any.
        missing: The weights that only one of the runs has, as text.

    """

    same_policy: bool
    name: str
    fingerprint: str
    sparsity: float
    change: float
    differing: float | None
    missing: tuple[str, ...]


def summary(recording: Recording) -> Summary:
    """Return the figures of a run as a whole."""
    kept = _kept(recording)
    weights = recording.weights.values()
    size, stay = sum(weight.size for weight in weights), sum(kept.values())
    masked = {update.weight for update in recording.history}
    measured = [weight.deflated for weight in weights if weight.deflated is not None]
    deflated = sum(w.raw_bytes if w.deflated is None else w.deflated for w in weights)
    return Summary(
        shown(recording.policy.get("name") or ""),
        shown(recording.fingerprint),
        shown(recording.adapter),
        tuple((shown(name), shown(version)) for name, version in recording.versions.items()),
        size,
        stay,
        _sparsity(stay, size),
        recording.steps[-1] if recording.steps else 0,
        len(recording.steps),
        len(masked),
        in_bytes(sum(weight.raw_bytes for weight in weights)),
        in_bytes(sum(_packed_bytes(w, kept[w.name], w.name in masked) for w in weights)),
        in_bytes(deflated) if measured else None,
    )


def weight_rows(
    recording: Recording,
    against: Recording | None,
    labels: Mapping[int, str],
    frames: Mapping[str, Frames],
) -> list[WeightRow]:
    """Return the rows of the table.

    Args:
        recording: The run.
        against: The run that it is compared with, if there is one.
        labels: What each rule is called, by its number.
        frames: The pictures of the weights that have a mask.

    """
    kept = _kept(recording)
    others = {} if against is None else _sparsities(against)
    return [
        _row(recording, against, weight, kept[name], others.get(name), labels, frames.get(name))
        for name, weight in recording.weights.items()
    ]


def _row(
    recording: Recording,
    against: Recording | None,
    weight: RecordedWeight,
    kept: int,
    other: float | None,
    labels: Mapping[int, str],
    frames: Frames | None,
) -> WeightRow:
    sparsity = _sparsity(kept, weight.size)
    return WeightRow(
        weight.name,
        shown(weight.name),
        shown(weight.kind),
        "x".join(map(str, weight.shape)),
        weight.size,
        kept,
        sparsity,
        weight.target if weight.method else None,
        "none" if weight.rule is None else labels.get(weight.rule, str(weight.rule)),
        frames is not None,
        weight.raw_bytes,
        in_bytes(weight.raw_bytes),
        "" if frames is None else _shows(weight, frames, len(recording.updates(weight.name))),
        other,
        None if other is None else sparsity - other,
        None if against is None else _differing(recording, against, weight.name),
    )


def _shows(weight: RecordedWeight, frames: Frames, updates: int) -> str:
    """Return what the dots of a weight's pictures are, and which updates they show."""
    plane, grid = weight.plane, frames.grid
    words = f"{plane.rows:,} outputs by {plane.columns:,} inputs"
    if (grid.rows, grid.columns) == (plane.rows, plane.columns):
        words += "; each dot is one weight"
    else:
        words += f"; the dots are {grid.rows:,} by {grid.columns:,} of them, one from each tile"
    shown_updates = len(frames.updates)
    return words if shown_updates == updates else f"{words}; {shown_updates} of {updates:,} updates"


def compared(recording: Recording, against: Recording) -> Comparison:
    """Return how a run differs from another one, as a whole."""
    one, other = summary(recording), summary(against)
    alone = sorted(recording.weights.keys() ^ against.weights.keys())
    shares = {name: _differing(recording, against, name) for name in recording.weights}
    sizes = {n: recording.weights[n].plane.size for n, share in shares.items() if share is not None}
    differing = sum((shares[name] or 0.0) * size for name, size in sizes.items())
    return Comparison(
        recording.fingerprint == against.fingerprint,
        other.name,
        other.fingerprint,
        other.sparsity,
        one.sparsity - other.sparsity,
        differing / sum(sizes.values()) if sum(sizes.values()) else None,
        tuple(map(shown, alone)),
    )


def _kept(recording: Recording) -> dict[str, int]:
    """Return how many elements of each weight stay in the end."""
    kept = {name: weight.size for name, weight in recording.weights.items()}
    return kept | {update.weight: update.kept for update in recording.history}


def _sparsities(recording: Recording) -> dict[str, float]:
    kept = _kept(recording)
    return {name: _sparsity(kept[name], w.size) for name, w in recording.weights.items()}


def _sparsity(kept: int, size: int) -> float:
    return 1 - kept / size if size else 0.0


def _packed_bytes(weight: RecordedWeight, kept: int, masked: bool) -> int:
    if not masked:
        return weight.raw_bytes
    each = weight.raw_bytes / weight.size if weight.size else 0
    return min(weight.raw_bytes, round(weight.size / 8 + kept * each))


def _differing(recording: Recording, against: Recording, name: str) -> float | None:
    """Return the fraction of a mask that differs, None where the runs cannot be compared."""
    twin = against.weights.get(name)
    if twin is None or twin.plane != recording.weights[name].plane:
        return None
    one, other = last_mask(recording, name), last_mask(against, name)
    if one is None and other is None:
        return 0.0
    whole = np.ones(1, bool)  # what has no mask is kept whole
    differ = (whole if one is None else one) ^ (whole if other is None else other)
    return float(np.count_nonzero(differ) / differ.size) if differ.size else 0.0
