"""The state of a run as a flat mapping of name to array, the form that every checkpoint takes.

``step`` is an int64, ``secateur`` the rest as JSON in UTF-8, and ``mask/<weight>`` a mask
packed to bits, canonical.  One file, NumPy's .npz, loads in either framework.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from secateur.errors import StateError
from secateur.files import atomically
from secateur.layout import Array

FORMAT = 1
Unpack = Callable[[str, Any, tuple[int, ...]], Array]
LONGEST = len("-2.2250738585072014e-308, ")
"""What a float takes at most, in JSON."""
_META, _STEP, _MASK = "secateur", "step", "mask/"


@dataclass(frozen=True)
class State:
    """Everything that a pruner must know to go on where it stopped.

    `masks` are bool, canonical; `began` is, by rule, the step at which a schedule with
    ``begin_when`` began, and `observed` the monitored values that it has yet to judge.
    `waiting` holds the shapes of weights that will be pruned and have no mask yet: all
    arrays have the same keys and lengths throughout a run, as distributed checkpoints want.
    `windows` are the most values that `observed` will hold, by rule.
    """

    step: int
    fingerprint: str
    masks: Mapping[str, Array]
    began: Mapping[int, int] = field(default_factory=dict)
    observed: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    waiting: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    windows: Sequence[int] = ()

    def to_arrays(self) -> dict[str, Array]:
        """Return the state as arrays of integers."""
        shapes = {name: mask.shape for name, mask in self.masks.items()} | dict(self.waiting)
        packed = {name: np.packbits(mask.reshape(-1)) for name, mask in self.masks.items()}
        blank = {n: np.zeros(-(-prod(s) // 8), np.uint8) for n, s in self.waiting.items()}
        return self.with_packed(packed | blank, shapes)

    def with_packed(
        self, packed: Mapping[str, Array], shapes: Mapping[str, tuple[int, ...]]
    ) -> dict[str, Array]:
        """Return the state as arrays, with masks of some shapes that were packed elsewhere."""
        fixed = {"format": FORMAT, "fingerprint": self.fingerprint, "shapes": dict(shapes)}
        meta = {
            **fixed,
            "waiting": sorted(self.waiting),
            "began": {str(rule): step for rule, step in self.began.items()},
            "observed": {str(rule): values for rule, values in self.observed.items()},
        }
        room = 2 * len(json.dumps(fixed))
        # not below 4096: distributed checkpoints that exist must keep their lengths
        room += max(4096, 256 + sum(64 + LONGEST * most for most in self.windows))
        text = json.dumps(meta, sort_keys=True).encode().ljust(room)
        arrays: dict[str, Array] = {
            _STEP: np.array(self.step, np.int64),
            _META: np.frombuffer(text, np.uint8).copy(),
        }
        return arrays | {mask_key(name): mask for name, mask in packed.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Any], unpack: Unpack | None = None) -> State:
        """Return the state that `to_arrays` wrote.  Raises StateError for anything else.

        unpack: makes a mask of a weight's name, what the state holds of it, and its shape.
        """
        unpack = unpack or _unpack
        try:
            meta = json.loads(np.asarray(arrays[_META], np.uint8).tobytes())
            if meta["format"] != FORMAT:
                raise StateError(
                    f"a pruning state of format {meta['format']}; this secateur reads "
                    f"format {FORMAT}. Update the older side."
                )
            masks = {
                str(name): unpack(str(name), arrays[mask_key(str(name))], tuple(shape))
                for name, shape in meta["shapes"].items()
                if name not in meta["waiting"]
            }
            return cls(
                _count(arrays[_STEP]),
                str(meta["fingerprint"]),
                masks,
                {int(rule): int(step) for rule, step in meta["began"].items()},
                {int(k): tuple(map(float, values)) for k, values in meta["observed"].items()},
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            if isinstance(error, StateError):
                raise
            raise StateError(
                f"not a pruning state: {type(error).__name__}: {error}. Load what "
                "pruner.state_dict() or pruner.save() wrote."
            ) from error


def mask_key(name: str) -> str:
    """Return the key of a weight's mask."""
    return _MASK + name


def _count(stored: Any) -> int:
    step = np.asarray(stored)
    if step.shape != () or step.dtype.kind not in "iu" or step < 0:
        raise ValueError(f"{step!r} is no number of steps")
    return int(step)


def _unpack(name: str, stored: Any, shape: tuple[int, ...]) -> Array:
    packed = np.asarray(stored)
    if not all(type(length) is int and length >= 0 for length in shape):
        raise StateError(f"{name}: the saved mask has shape {shape}; the file is damaged")
    size = prod(shape)
    if packed.dtype != np.uint8 or packed.shape != (-(-size // 8),):
        raise StateError(
            f"{name}: the saved mask has {packed.size} bytes, and shape {shape} takes "
            f"{-(-size // 8)}; the file is damaged"
        )
    return np.unpackbits(packed, count=size).astype(bool).reshape(shape)


def save(arrays: Mapping[str, Array], path: Path) -> None:
    """Write the arrays of a state to a .npz file."""
    with atomically(path) as file:  # straight into it: whole masks are large
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path, unpack: Unpack | None = None) -> State:
    """Read a state from a .npz file.  Raises StateError when it is missing or damaged."""
    try:
        return State.from_arrays(_read(path), unpack)
    except FileNotFoundError:
        raise StateError(f"{path}: no such file") from None
    except StateError as error:
        raise StateError(f"{path}: {error}") from error
    except Exception as error:  # whatever NumPy's parser raises for a damaged file
        raise StateError(f"{path}: not a pruning state file: {error}") from error


def _read(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        # What is stored as it is cannot swell to more than the file.
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise StateError("its arrays are compressed, and pruner.save() does not compress")
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)
