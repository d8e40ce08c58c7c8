"""The file of a recording: NumPy's .npz without compression, and without pickle.

``recording`` holds the run and its weights as JSON in UTF-8. The other arrays have a row for
each update: ``steps``, ``weights`` (the index of the weight), ``kept``, ``targets``,
``thresholds`` (NaN where nothing is kept), ``largest``, ``histograms``, ``resumed``, and ``ends``,
where its mask ends in ``bits``. A mask is packed to bits in C order, eight to a byte, XORed with
the one before, and compressed by zlib where that is shorter.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from secateur.checkpoints.npz import NpzCheckpoint
from secateur.errors import ModelError, RecordingError, shown
from secateur.files import atomically
from secateur.layout import Array

if TYPE_CHECKING:
    from secateur.recording.plane import Plane

FORMAT = 1
BINS = 48
_DTYPES = {
    "recording": "uint8",
    "steps": "int64",
    "weights": "int64",
    "kept": "int64",
    "targets": "float64",
    "thresholds": "float64",
    "largest": "float64",
    "histograms": "uint32",
    "resumed": "bool",
    "ends": "int64",
    "bits": "uint8",
}
_FLOAT = re.compile(r"b?float(\d{1,3})")
_MOST = 2**62
_MOST_RECORDED = 2**24
"""The most elements of one mask that a reader unpacks."""


@dataclass(frozen=True)
class Row:
    """One update, as the file has it."""

    step: int
    weight: int
    kept: int
    target: float
    threshold: float
    largest: float
    histogram: Array
    resumed: bool
    stored: bytes


@dataclass(frozen=True)
class Content:
    """All that a file holds."""

    header: Mapping[str, Any]
    rows: Sequence[Row]


def write(path: Path, header: Mapping[str, Any], history: Sequence[Any], names: list[str]) -> None:
    """Write a recording whole, or leave what was there.

    Args:
        path: The file.
        header: The run and its weights.
        history: The updates.
        names: The names of the weights, in the order of the header.

    """
    index = {name: number for number, name in enumerate(names)}
    text = json.dumps({"format": FORMAT, **header}, sort_keys=True).encode()
    ends = np.cumsum([len(update.stored) for update in history], dtype=np.int64)
    columns: dict[str, Any] = {
        "recording": np.frombuffer(text, np.uint8),
        "steps": [update.step for update in history],
        "weights": [index[update.weight] for update in history],
        "kept": [update.kept for update in history],
        "targets": [update.target for update in history],
        "thresholds": [_or_nan(update.threshold) for update in history],
        "largest": [update.largest for update in history],
        "histograms": np.array([update.histogram for update in history]).reshape(-1, BINS),
        "resumed": [update.resumed for update in history],
        "ends": ends,
        "bits": np.frombuffer(b"".join(update.stored for update in history), np.uint8),
    }
    arrays = {name: np.asarray(columns[name], dtype) for name, dtype in _DTYPES.items()}
    with atomically(path) as target:
        np.savez(target, allow_pickle=False, **arrays)


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value


def read(path: Path) -> Content:
    """Read the content of a file, in memory of about its size.

    Raises:
        RecordingError: The file is missing, damaged or no recording.

    """
    if not path.is_file():
        raise RecordingError("no such file" if not path.exists() else "is no file")
    try:
        archive = NpzCheckpoint(path)
        declared = {name: tensor.dtype for name, tensor in archive.tensors.items()}
        if not declared.keys() >= _DTYPES.keys():
            raise RecordingError("not a recording: a secateur.Recorder writes one")
        if any(declared[name] != dtype for name, dtype in _DTYPES.items()):
            raise ValueError("an array has another dtype")
        sizes = (
            math.prod(archive.tensors[n].shape) * np.dtype(d).itemsize for n, d in _DTYPES.items()
        )
        if sum(sizes) > path.stat().st_size:
            raise ValueError("its arrays are larger than the file")
        arrays = {name: archive.read(name) for name in _DTYPES}
    except ModelError as error:
        raise RecordingError(str(error).removeprefix(f"{path}: ")) from None
    header = typed(json.loads(arrays["recording"].tobytes()), dict)
    if header.get("format") != FORMAT:
        raise RecordingError(
            f"a recording of format {shown(header.get('format'))}; this secateur reads "
            f"format {FORMAT}. Update the older side."
        )
    return Content(header, _rows(arrays, len(typed(header["weights"], list))))


def _rows(arrays: Mapping[str, Array], weights: int) -> list[Row]:
    length = len(arrays["steps"])
    for name in _DTYPES.keys() - {"recording", "bits"}:
        wanted = (length, BINS) if name == "histograms" else (length,)
        if arrays[name].shape != wanted:
            raise ValueError(f"{name} has shape {arrays[name].shape}, not {wanted}")
    ends, bits = arrays["ends"], arrays["bits"]
    starts = np.concatenate([np.zeros(1, np.int64), ends])
    steps = arrays["steps"]
    is_whole = bits.ndim == 1 and starts[-1] == bits.size and (np.diff(starts) >= 0).all()
    if not is_whole or (np.diff(steps) < 0).any() or (length and not 0 <= steps[0] < _MOST):
        raise ValueError("its steps or the places of its masks are out of order")
    if ((arrays["weights"] < 0) | (arrays["weights"] >= weights)).any():
        raise ValueError("an update of a weight that there is none of")
    if not all(np.isfinite(arrays[name]).all() for name in ("targets", "largest")):
        raise ValueError("a target or a magnitude is no number")
    if (arrays["kept"] < 0).any() or np.isinf(arrays["thresholds"]).any():
        raise ValueError("a count or a threshold is no number")
    return [
        Row(
            int(steps[row]),
            int(arrays["weights"][row]),
            int(arrays["kept"][row]),
            sparsity(float(arrays["targets"][row])),
            float(arrays["thresholds"][row]),
            float(arrays["largest"][row]),
            arrays["histograms"][row],
            bool(arrays["resumed"][row]),
            bits[starts[row] : starts[row + 1]].tobytes(),
        )
        for row in range(length)
    ]


def typed(value: Any, kind: type) -> Any:
    """Return a value of exactly that type.

    Raises:
        TypeError: It is of another type.

    """
    if type(value) is not kind:
        raise TypeError(f"{shown(value)} is no {kind.__name__}")
    return value


def count(value: Any) -> int:
    """Return a number of things.

    Raises:
        ValueError: It is none.

    """
    if type(value) is not int or not 0 <= value < _MOST:
        raise ValueError(f"{shown(value)} is no count")
    return value


def sparsity(value: Any) -> float:
    """Return a sparsity.

    Raises:
        ValueError: It is none.

    """
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"{shown(value)} is no sparsity")
    return float(value)


def bits_of(dtype: str) -> int:
    """Return how many bits a value takes.

    >>> bits_of("bfloat16"), bits_of("float8_e4m3fn")
    (16, 8)

    Raises:
        ValueError: It is no name of a dtype of floats.

    """
    found = _FLOAT.match(dtype)
    if found is None:
        raise ValueError(f"{shown(dtype)} is no dtype of floats")
    return int(found[1])


def check_plane(plane: Plane) -> None:
    """Check that what is recorded of a weight lies within it, and is not too large to unpack.

    Raises:
        ValueError: It does not.

    """
    fits = plane.shown_rows <= plane.rows and plane.shown_columns <= plane.columns
    recorded = max(plane.size, plane.shown_rows, plane.shown_columns)
    if not fits or recorded > _MOST_RECORDED or plane.rows * plane.columns >= _MOST:
        raise ValueError(f"a mask of {shown(plane)}")
