"""A recording as a value: what was recorded of a run, and its masks step by step."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from secateur.errors import RecordingError, nearest, shown
from secateur.files import check_output, write_atomically
from secateur.hooks.at_work import page
from secateur.layout import Array
from secateur.recording import bits, file
from secateur.recording.parsed import parsed
from secateur.recording.recorded import RecordedUpdate, RecordedWeight


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
        >>> import numpy as np, secateur, tempfile
        >>> path = f"{tempfile.mkdtemp()}/run.npz"
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
            return cls(**parsed(file.read(where)))
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
        {**vars(weight), "plane": vars(weight.plane)} for weight in recording.weights.values()
    ]
    names = ("adapter", "fingerprint", "policy", "versions")
    return {**{name: getattr(recording, name) for name in names}, "weights": weights}
