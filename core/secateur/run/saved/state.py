"""The state of a run as a flat mapping of name to array, the form that every checkpoint takes.

``step`` is an int64, ``secateur`` the rest as JSON in UTF-8, ``mask/<weight>`` a mask packed to
bits, canonical, and ``memory/<array>/<weight>`` an array that a criterion keeps.  One file,
NumPy's .npz, loads in either framework.
"""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from secateur.components.criteria.criterion import MEMORY_DTYPES
from secateur.errors import StateError, in_words, listed, shown
from secateur.files import atomically
from secateur.layout import Array
from secateur.run.saved.about import read_about

FORMAT = 1
MOST_STEPS = 2**62
"""Steps are below this, so that no sum of two of them overflows an int64."""
MOST_AXES = 64
Unpack = Callable[[str, Any, tuple[int, ...]], Array]
LONGEST = len("-2.2250738585072014e-308, ")
"""What a float takes at most, in JSON."""
_META, _STEP, _MASK, _MEMORY, _SUFFIX = "secateur", "step", "mask/", "memory/", ".npy"


@dataclass(frozen=True)
class State:
    """Everything that a pruner must know to resume a run.

    All arrays have the same names and lengths throughout a run, as distributed checkpoints need.

    Attributes:
        step: The number of optimizer updates finished.
        fingerprint: The policy's.
        masks: The masks by weight name: bool, canonical.
        began: By rule, the step at which a schedule with ``begin_when`` began.
        observed: By rule, the monitored values that such a schedule has yet to judge.
        waiting: The shapes of weights that will be pruned and have no mask yet.
        windows: The most values that `observed` will hold, by rule.
        evaluated: The step up to which every due update of the masks was made; None when that is
            `step`.
        about: What a file says besides, for those who check it: see `secateur.run.saved.about`.
        memory: What criteria with memory keep: arrays by weight and name, canonical.

    """

    step: int
    fingerprint: str
    masks: Mapping[str, Array]
    began: Mapping[int, int] = field(default_factory=dict)
    observed: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    waiting: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    windows: Sequence[int] = ()
    evaluated: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)
    memory: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)

    def to_arrays(self) -> dict[str, Array]:
        """Return the state as arrays of integers."""
        shapes = {name: mask.shape for name, mask in self.masks.items()} | dict(self.waiting)
        packed = {name: np.packbits(mask.reshape(-1)) for name, mask in self.masks.items()}
        blank = {n: np.zeros(-(-prod(s) // 8), np.uint8) for n, s in self.waiting.items()}
        memory = {
            memory_key(name, weight): array.reshape(-1)
            for weight, arrays in self.memory.items()
            for name, array in arrays.items()
        }
        return self.with_packed(packed | blank, shapes) | memory

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
        if self.evaluated is not None:
            meta["evaluated"] = self.evaluated
        # as long as it can become during the run
        length = 2 * len(json.dumps(fixed)) + 256
        length += sum(64 + LONGEST * most for most in self.windows)
        text = json.dumps(meta, sort_keys=True).encode().ljust(length)
        arrays: dict[str, Array] = {
            _STEP: np.array(self.step, np.int64),
            _META: np.frombuffer(text, np.uint8).copy(),
        }
        return arrays | {mask_key(name): mask for name, mask in packed.items()}

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, Any], unpack: Unpack | None = None, place: Unpack | None = None
    ) -> State:
        """Return the state that `to_arrays` wrote.

        Args:
            arrays: The arrays, as a checkpoint gives them back.
            unpack: Makes a mask of a weight's name, what the state holds of it, and its shape.
            place: Makes an array of memory in the same way.

        Raises:
            StateError: The arrays are no state.

        """
        try:
            return _parsed(arrays, unpack or _unpack, place or _place)
        except StateError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise StateError(
                f"not a pruning state: {in_words(error, 200)}. Load what "
                "pruner.state_dict() or pruner.save() wrote."
            ) from error


def mask_key(name: str) -> str:
    """Return the key of a weight's mask."""
    return _MASK + name


def memory_key(name: str, weight: str) -> str:
    """Return the key of an array that a criterion keeps of a weight."""
    return f"{_MEMORY}{name}/{weight}"


def _parsed(arrays: Mapping[str, Any], unpack: Unpack, place: Unpack) -> State:
    if missing := [key for key in (_META, _STEP) if key not in arrays]:
        raise StateError(
            f"not a pruning state: it has no {missing[0]!r}, and holds: "
            f"{listed(map(str, arrays), 8) or 'nothing'}. Load what pruner.state_dict() or "
            "pruner.save() wrote."
        )
    stored = np.asarray(arrays[_META])
    if stored.dtype != np.uint8 or stored.ndim != 1:
        raise ValueError(f"its JSON is {stored.dtype} of shape {stored.shape}")
    meta = _typed(json.loads(stored.tobytes()), dict)
    if type(meta["format"]) is not int or meta["format"] != FORMAT:
        raise StateError(
            f"a pruning state of format {shown(meta['format'])}; this secateur reads "
            f"format {FORMAT}. Update the older side."
        )
    step = _step_of(arrays[_STEP])
    shapes = {name: tuple(_typed(shape, list)) for name, shape in meta["shapes"].items()}
    waiting = {_typed(name, str): shapes[name] for name in _typed(meta["waiting"], list)}
    began, observed = _typed(meta["began"], dict), _typed(meta["observed"], dict)
    for name, shape in shapes.items():
        if len(shape) > MOST_AXES or not all(map(_is_length, shape)):
            raise StateError(
                f"{shown(name)}: the saved mask has shape {shown(shape)}; the file is damaged"
            )
    masks = {
        name: unpack(name, arrays[mask_key(name)], shape)
        for name, shape in shapes.items()
        if name not in waiting
    }
    return State(
        step,
        _typed(meta["fingerprint"], str),
        masks,
        {_rule(rule): _step(at) for rule, at in began.items()},
        {_rule(rule): tuple(map(_number, _typed(v, list))) for rule, v in observed.items()},
        waiting,
        evaluated=None if meta.get("evaluated") is None else _step(meta["evaluated"]),
        about=read_about(arrays),
        memory=_memory(arrays, shapes, place),
    )


def _memory(
    arrays: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], place: Unpack
) -> dict[str, dict[str, Array]]:
    found: dict[str, dict[str, Array]] = {}
    for key, stored in arrays.items():
        if key.startswith(_MEMORY):
            name, _, weight = key.removeprefix(_MEMORY).partition("/")
            found.setdefault(weight, {})[name] = place(weight, stored, shapes[weight])
    return found


def _place(name: str, stored: Any, shape: tuple[int, ...]) -> Array:
    array = checked_memory(name, np.asarray(stored), shape)
    # a copy: what a checkpoint gave back may change under the run
    array = array.reshape(shape).astype(array.dtype.newbyteorder("="))
    array.flags.writeable = False
    return array


def checked_memory(name: str, array: Array, shape: tuple[int, ...]) -> Array:
    """Return a whole array of memory, which must be flat, finite and of a weight's size.

    Raises:
        StateError: It is not.

    """
    if array.shape != (prod(shape),) or array.dtype.name not in MEMORY_DTYPES:
        raise StateError(
            f"{shown(name)}: the saved memory is {array.dtype} {array.shape}, and the weight has "
            f"shape {shape}; the file is damaged"
        )
    if not np.isfinite(array).all():
        raise StateError(f"{shown(name)}: the saved memory holds a NaN or infinity")
    return array


def _typed(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{shown(value)} is no {kind.__name__}")
    return value


def _is_length(length: Any) -> bool:
    return type(length) is int and 0 <= length < 2**62


def _rule(key: str) -> int:
    if not (key.isascii() and key.isdecimal() and len(key) < 10):
        raise ValueError(f"{shown(key)} is no number of a rule")
    return int(key)


def _number(value: Any) -> float:
    if type(value) not in (int, float):
        raise TypeError(f"{shown(value)} is no monitored value")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{shown(value)} is no monitored value") from None


def _step_of(stored: Any) -> int:
    array = np.asarray(stored)
    if array.shape != () or array.dtype.kind not in "iu":
        raise ValueError(f"{shown(stored)} is no number of steps")
    return _step(int(array))


def _step(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MOST_STEPS:
        raise StateError(
            f"the state has step {shown(value)}; a step is an integer from 0 to below 2**62"
        )
    return value


def _unpack(name: str, stored: Any, shape: tuple[int, ...]) -> Array:
    packed = np.asarray(stored)
    size = prod(shape)
    if packed.dtype != np.uint8 or packed.shape != (-(-size // 8),):
        raise StateError(
            f"{shown(name)}: the saved mask has {packed.size} bytes, and shape {shape} takes "
            f"{-(-size // 8)}; the file is damaged"
        )
    return np.unpackbits(packed, count=size).astype(bool).reshape(shape)


def save(arrays: Mapping[str, Array], path: Path) -> None:
    """Write the arrays of a state to a .npz file."""
    with atomically(path) as file:  # straight into it: whole masks are large
        np.savez(file, allow_pickle=False, **arrays)


def load(path: Path, unpack: Unpack | None = None, place: Unpack | None = None) -> State:
    """Read a state from a .npz file, in no more memory than the file takes.

    Args:
        path: The file.
        unpack: As in `State.from_arrays`.
        place: As there.

    Raises:
        StateError: The file is missing, damaged, or no file of a state.

    """
    try:
        return State.from_arrays(_read(path), unpack, place)
    except FileNotFoundError:
        raise StateError(f"{path}: no such file") from None
    except StateError as error:
        raise StateError(f"{path}: {error}") from error
    except Exception as error:  # whatever zipfile raises for a damaged file
        raise StateError(f"{path}: not a pruning state file: {in_words(error, 200)}") from error


def _read(path: Path) -> dict[str, Array]:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise StateError("not a pruning state file: no regular file")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        # What is stored as it is, and once, cannot swell to more than the file.
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise StateError("its arrays are compressed, and pruner.save() does not compress")
        names = [member.filename for member in members]
        if len(set(names)) < len(names):
            raise StateError("not a pruning state file: two arrays have one name")
        if sum(member.file_size for member in members) > status.st_size:
            raise StateError("not a pruning state file: its arrays are larger than the file")
        return {
            member.filename.removesuffix(_SUFFIX): _read_array(archive, member)
            for member in members
        }


def _read_array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Array:
    with archive.open(member) as stored:
        content = stored.read()
    file = io.BytesIO(content)
    np.lib.format.read_magic(file)
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("an array of objects, which is never loaded")
    values = np.frombuffer(content, dtype, offset=file.tell())
    if values.size != prod(shape):
        raise ValueError(f"an array of shape {shape} that holds {values.size} values")
    return values.reshape(shape, order="F" if is_fortran else "C")
