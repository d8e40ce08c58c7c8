"""What a recording says of one weight, and of one update of its mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from secateur.layout import Array
from secateur.recording import file
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
        >>> import numpy as np, secateur, tempfile
        >>> path = f"{tempfile.mkdtemp()}/run.npz"
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
        >>> import numpy as np, secateur, tempfile
        >>> path = f"{tempfile.mkdtemp()}/run.npz"
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
