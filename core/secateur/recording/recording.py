"""A recording as a value: what was recorded of a run, and its masks step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from secateur.errors import RecordingError, nearest, shown
from secateur.files import check_output, write_atomically
from secateur.hooks.at_work import page
from secateur.layout import Array
from secateur.recording import bits, file
from secateur.recording.plane import Plane


@dataclass(frozen=True)
class RecordedWeight:
    """One prunable weight of a recorded run.

    Attributes:
        name: Its name in the plan.
        kind: Its kind, such as ``conv``.
        role: Its role in its layer, such as ``kernel``.
        dtype: NumPy's name of its dtype.
        shape: Its canonical shape.
        rule: The number of the rule that decides it; None where no rule matches.
        target: The final sparsity; None where the scores decide it.
        method: The schedule, criterion, pattern and distribution as tables of a policy file,
            every step as an integer; None for a weight that stays dense.
        tile: How far a group of the pattern reaches along each canonical axis, None being all of
            it; None for a weight that stays dense, or a pattern whose groups are no tiles.
        plane: How it is laid flat, and which rows and columns of it are recorded.
        deflated: About how many bytes its values take when they are compressed by DEFLATE once
            the final sparsity is reached, from a sample of them; None before that.

    Example:
        >>> import secateur, tempfile
        >>> path = Path(tempfile.mkdtemp(), "run.npz")
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> weights = {"fc": np.ones((8, 16), np.float32)}
        >>> report = secateur.prune(weights, half, observers=[secateur.Recorder(path)])
        >>> recording = secateur.Recording.load(path)
        >>> weight = recording.weights["fc"]
        >>> weight.shape, weight.method["pattern"]["kind"], weight.tile, weight.raw_bytes
        ((8, 16), 'unstructured', (1, 1), 512)

    """

    name: str
    kind: str
    role: str
    dtype: str
    shape: tuple[int, ...]
    rule: int | None
    target: float | None
    method: Mapping[str, Any] | None
    tile: tuple[int | None, ...] | None
    plane: Plane
    deflated: int | None = None

    @property
    def size(self) -> int:
        """The number of elements; of a sharded weight, those of the process that recorded it."""
        return self.plane.rows * self.plane.columns

    @property
    def raw_bytes(self) -> int:
        """The number of bytes of its values, zeros included."""
        return -(-self.size * file.bits_of(self.dtype) // 8)


@dataclass(frozen=True)
class RecordedUpdate:
    """One new mask of one weight.

    Attributes:
        step: The number of optimizer updates finished.
        weight: The name of the weight.
        kept: How many elements the mask keeps.
        sparsity: The fraction that it prunes.
        target: The target sparsity at this step.
        threshold: The smallest magnitude that is kept: where single weights are ranked by
            magnitude, the threshold itself. None where nothing is kept.
        largest: The largest magnitude of a sample of the values.
        histogram: How many of that sample lie in each of equal bins from 0 to `largest`; those
            that are zero are not counted.
        resumed: Whether it is the mask of a saved state that the run went on from.

    Example:
        >>> import secateur, tempfile
        >>> path = Path(tempfile.mkdtemp(), "run.npz")
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> weights = {"fc": np.ones((8, 16), np.float32)}
        >>> report = secateur.prune(weights, half, observers=[secateur.Recorder(path)])
        >>> recording = secateur.Recording.load(path)
        >>> [(update.step, update.sparsity, update.kept) for update in recording.updates("fc")]
        [(0, 0.5, 64)]

    """

    step: int
    weight: str
    kept: int
    sparsity: float
    target: float
    threshold: float | None
    largest: float
    histogram: Array = field(repr=False, compare=False)
    resumed: bool = False
    stored: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Recording:
    """What a `Recorder` has written: the run, and the mask of each weight at each update.

    Attributes:
        adapter: The name of the adapter, such as ``keras``.
        fingerprint: The fingerprint of the policy.
        policy: The policy, as `Policy.to_dict` returns it.
        versions: The versions of Python, secateur, NumPy and the frameworks that were imported.
        weights: Every prunable weight, by name, in the order of the model.
        history: Every update, in the order of the run.

    Example:
        >>> import secateur, tempfile
        >>> path = Path(tempfile.mkdtemp(), "run.npz")
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> weights = {"fc": np.ones((8, 16), np.float32)}
        >>> report = secateur.prune(weights, half, observers=[secateur.Recorder(path)])
        >>> recording = secateur.Recording.load(path)
        >>> recording.adapter, list(recording.weights), recording.steps, recording.sparsities
        ('numpy', ['fc'], (0,), {0: 0.5})
        >>> [(update.step, mask.shape, int(mask.sum())) for update, mask in recording.masks("fc")]
        [(0, (8, 16), 64)]

    """

    adapter: str
    fingerprint: str
    policy: Mapping[str, Any]
    versions: Mapping[str, str]
    weights: Mapping[str, RecordedWeight]
    history: tuple[RecordedUpdate, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a recording from its file, in little more memory than the file takes.

        Args:
            path: A file that a `Recorder` wrote.

        Returns:
            The recording.

        Raises:
            RecordingError: The file is missing, damaged, or no recording.

        """
        where = Path(path)
        try:
            return cls(**_parsed(file.read(where)))
        except RecordingError as error:
            raise RecordingError(f"{where}: {error}") from None
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise RecordingError(f"{where}: not a recording: {shown(error, 300)}") from error

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the recording to a file, whole or not at all.

        Args:
            path: The file; one that is there is replaced.

        Raises:
            OSError: The file cannot be written.

        """
        file.write(Path(path), _header(self), self.history, list(self.weights))

    def to_html(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        against: Recording | str | os.PathLike[str] | None = None,
        notes: Sequence[str] = (),
    ) -> str:
        """Return a page about the run: one HTML file that opens from disk, without a network.

        It needs ``pip install "secateur[page]"``.

        Args:
            path: Where to write the page, too.
            against: Another recording or its file, to show what differs.
            notes: What the reader should know besides.

        Returns:
            The page.

        Raises:
            RecordingError: `against` is no recording.
            PluginError: A package that makes pages is missing.
            OSError: The file cannot be written.

        """
        target = None if path is None else Path(path)
        if target is not None:
            check_output(target)
        other = Recording.load(against) if isinstance(against, str | os.PathLike) else against
        if other is not None and not isinstance(other, Recording):
            raise RecordingError(f"against={shown(against)}: wanted a recording, or its file")
        text = page(self, other, notes)
        if target is not None:
            write_atomically(target, text.encode())
        return text

    @cached_property
    def steps(self) -> tuple[int, ...]:
        """The steps at which masks were updated, each once."""
        return tuple(dict.fromkeys(update.step for update in self.history))

    @cached_property
    def sparsities(self) -> Mapping[int, float]:
        """The sparsity of all prunable weights together, after each of `steps`."""
        kept = {name: weight.size for name, weight in self.weights.items()}
        size = sum(kept.values())
        found = {}
        for update in self.history:
            kept[update.weight] = update.kept
            found[update.step] = 1 - sum(kept.values()) / size if size else 0.0
        return found

    def updates(self, weight: str | None = None) -> tuple[RecordedUpdate, ...]:
        """Return the updates of a weight in the order of the run.

        Args:
            weight: The name of the weight; None for all weights.

        Returns:
            The updates; none for a weight that stayed dense.

        Raises:
            RecordingError: There is no such weight.

        """
        if weight is None:
            return self.history
        if weight not in self.weights:
            raise RecordingError(
                f"no weight {shown(weight)} was recorded: {nearest(str(weight), self.weights)}"
            )
        return self._updates_of.get(weight, ())

    @cached_property
    def _updates_of(self) -> Mapping[str, tuple[RecordedUpdate, ...]]:
        found: dict[str, list[RecordedUpdate]] = {}
        for update in self.history:
            found.setdefault(update.weight, []).append(update)
        return {name: tuple(updates) for name, updates in found.items()}

    def masks(self, weight: str) -> Iterator[tuple[RecordedUpdate, Array]]:
        """Yield the masks of a weight one after another, each unpacked when it is asked for.

        Args:
            weight: The name of the weight.

        Yields:
            Each update, with the recorded rows and columns of its mask: bool, two axes, True =
            kept.

        Raises:
            RecordingError: There is no such weight, or the recording is damaged.

        """
        updates = self.updates(weight)
        plane = self.weights[weight].plane
        for update, packed in self.packed(updates):
            yield update, bits.unpacked(packed, plane.shown_rows, plane.shown_columns)

    def packed(self, updates: tuple[RecordedUpdate, ...]) -> Iterator[tuple[RecordedUpdate, Array]]:
        """Yield the masks of a weight's updates, packed to bits in C order.

        Args:
            updates: All updates of one weight, as `updates` returns them.

        Yields:
            Each update, and the bits of its mask.

        Raises:
            RecordingError: The recording is damaged.

        """
        previous = None
        for update in updates:
            length = -(-self.weights[update.weight].plane.size // 8)
            try:
                previous = bits.expanded(update.stored, length, previous)
            except ValueError as error:
                raise RecordingError(
                    f"{shown(update.weight)}, step {update.step}: {error}; the file is damaged"
                ) from None
            yield update, previous


def _header(recording: Recording) -> dict[str, Any]:
    """Return all but the updates as plain values, for JSON."""
    weights = [
        {**vars(weight), "method": weight.method, "plane": vars(weight.plane)}
        for weight in recording.weights.values()
    ]
    names = ("adapter", "fingerprint", "policy", "versions")
    return {**{name: getattr(recording, name) for name in names}, "weights": weights}


def _parsed(found: file.Content) -> dict[str, Any]:
    """Return the attributes of a recording from the content of its file, checked."""
    header = found.header
    weights = [_weight(table) for table in file.typed(header["weights"], list)]
    by_name = {weight.name: weight for weight in weights}
    if len(by_name) < len(weights):
        raise ValueError("two weights have one name")
    versions = file.typed(header["versions"], dict)
    return {
        "adapter": file.typed(header["adapter"], str),
        "fingerprint": file.typed(header["fingerprint"], str),
        "policy": file.typed(header["policy"], dict),
        "versions": {name: file.typed(version, str) for name, version in versions.items()},
        "weights": by_name,
        "history": tuple(_update(row, weights) for row in found.rows),
    }


def _weight(table: Any) -> RecordedWeight:
    known = file.typed(table, dict)
    words = {key: file.typed(known[key], str) for key in ("name", "kind", "role", "dtype")}
    shape = tuple(map(file.count, file.typed(known["shape"], list)))
    plane = Plane(**{key: file.count(value) for key, value in dict(known["plane"]).items()})
    file.check_plane(plane)
    tile = known["tile"]
    if tile is not None:
        tile = tuple(None if reach is None else file.count(reach) for reach in tile)
        if len(tile) != len(shape) or 0 in tile:
            raise ValueError(f"a tile of {tile!s:.80} does not fit the shape {shape!s:.80}")
    target, method = known["target"], known["method"]
    weight = RecordedWeight(
        **words,
        shape=shape,
        rule=None if known["rule"] is None else file.count(known["rule"]),
        target=None if target is None else file.sparsity(target),
        method=None if method is None else _method(method),
        tile=tile,
        plane=plane,
        deflated=None if known["deflated"] is None else file.count(known["deflated"]),
    )
    file.bits_of(weight.dtype)
    return weight


def _method(table: Any) -> dict[str, Any]:
    method: dict[str, Any] = file.typed(table, dict)
    for part in ("schedule", "criterion", "pattern", "distribution"):
        file.typed(file.typed(method[part], dict)["kind"], str)
    return method


def _update(row: file.Row, weights: list[RecordedWeight]) -> RecordedUpdate:
    weight = weights[row.weight]
    if row.kept > weight.size:
        raise ValueError(f"{weight.name:.80} keeps {row.kept} of {weight.size}")
    return RecordedUpdate(
        row.step,
        weight.name,
        row.kept,
        1 - row.kept / weight.size if weight.size else 0.0,
        row.target,
        None if np.isnan(row.threshold) else row.threshold,
        row.largest,
        row.histogram,
        row.resumed,
        row.stored,
    )
