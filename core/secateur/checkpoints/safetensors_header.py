"""The header of a safetensors file, read as strictly as the format is written.

The format demands: a header of at most 100 MB that begins with ``{``, no key twice, metadata of
strings alone, and tensors that cover the rest of the file without holes or overlaps.  A file
that breaks a rule is refused: to write into it could change other tensors than those named.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any

from secateur.adapter import Tensor

LARGEST_HEADER = 100_000_000
METADATA = "__metadata__"
DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "C64": "complex64",
    "I64": "int64",
    "I32": "int32",
    "I16": "int16",
    "I8": "int8",
    "U64": "uint64",
    "U32": "uint32",
    "U16": "uint16",
    "U8": "uint8",
    "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
"""The names of the dtypes in NumPy, or in ml-dtypes."""
_BITS = {
    **dict(zip(("F64", "F32", "F16", "BF16", "C64", "BOOL"), (64, 32, 16, 16, 64, 8), strict=True)),
    **{f"{sign}{bits}": bits for sign in "IU" for bits in (8, 16, 32, 64)},
    **{f"F8_{form}": 8 for form in ("E4M3", "E5M2", "E8M0", "E4M3FNUZ", "E5M2FNUZ")},
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}
_DEEPEST = 64
"""The most axes that NumPy knows."""


@dataclass(frozen=True)
class Header:
    """What a header declares.

    Attributes:
        entries: The entry of each tensor as it was read, in the order of the header.
        metadata: The metadata; None without any.
        tensors: Each tensor, in the order of the header.
        spans: The first byte of each tensor after the header, and the byte after its last.
        start: The number of bytes before the first tensor.

    """

    entries: Mapping[str, Any]
    metadata: Mapping[str, str] | None
    tensors: Mapping[str, Tensor]
    spans: Mapping[str, tuple[int, int]]
    start: int


def read_header(path: Path) -> Header:
    """Return the checked header of a file.

    Raises:
        ValueError: The file breaks a rule of the format.
        OSError: The file cannot be read.

    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(LARGEST_HEADER, size - 8):
            raise ValueError(f"the file has {size} bytes, and its header claims {length}")
        return parse_header(file.read(length), size - 8 - length)


def parse_header(text: bytes, available: int | None = None) -> Header:
    """Return the checked header of a file.

    Args:
        text: The header itself.
        available: How many bytes follow in the file; None where that is not known yet.

    Raises:
        ValueError: It breaks a rule of the format.

    """
    table = _parse(text)
    metadata = table.pop(METADATA, None)
    if metadata is not None:
        _check_metadata(metadata)
    tensors = {name: _tensor(name, entry) for name, entry in table.items()}
    spans = {name: _span(name, entry, tensors[name]) for name, entry in table.items()}
    _check_cover(spans, available)
    return Header(table, metadata, tensors, spans, 8 + len(text))


def _parse(text: bytes) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise ValueError("its header does not begin with '{'")
    try:
        table: dict[str, Any] = json.loads(text.decode(), object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError("its header is nested too deeply") from None
    return table


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for key, value in pairs:
        if key in table:
            raise ValueError(f"{key!r:.80} is declared twice")
        if not key.isascii():
            key.encode()  # half a surrogate pair is a ValueError
        table[key] = value
    return table


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict):
        raise ValueError("its metadata is not a table")
    for key, value in metadata.items():
        if not isinstance(value, str):
            raise ValueError(f"its metadata {key!r:.80} is not a string")
        value.encode()


def _tensor(name: str, entry: Any) -> Tensor:
    if not isinstance(entry, dict):
        raise ValueError(f"{name!r:.80} is not declared by a table")
    missing = {"dtype", "shape", "data_offsets"} - entry.keys()
    if missing:
        raise ValueError(f"{name!r:.80} lacks its {min(missing)}")
    dtype, shape = entry["dtype"], entry["shape"]
    if not isinstance(dtype, str) or dtype not in _BITS:
        raise ValueError(f"{name!r:.80}: {dtype!r:.40} is no dtype of the format")
    if not isinstance(shape, list) or not all(map(_is_count, shape)):
        raise ValueError(f"{name!r:.80}: {shape!r:.80} is no shape")
    if len(shape) > _DEEPEST or prod(filter(None, shape)) >= 1 << 60:
        raise ValueError(f"{name!r:.80}: no array can have the shape {shape!r:.80}")
    return Tensor(name, DTYPES.get(dtype, dtype), tuple(shape))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 1 << 63


def _span(name: str, entry: Mapping[str, Any], tensor: Tensor) -> tuple[int, int]:
    offsets = entry["data_offsets"]
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(map(_is_count, offsets)):
        raise ValueError(f"{name!r:.80}: {offsets!r:.80} are no offsets")
    begin, end = offsets
    if tensor.size * _BITS[entry["dtype"]] != 8 * (end - begin):
        shape = "x".join(map(str, tensor.shape)) or "scalar"
        raise ValueError(
            f"{name!r:.80}: {shape:.80} {entry['dtype']} does not take {end - begin} bytes"
        )
    return begin, end


def _check_cover(spans: Mapping[str, tuple[int, int]], available: int | None) -> None:
    """Check that the tensors cover all bytes after the header, each of them once."""
    ordered = sorted(spans.items(), key=lambda item: item[1])
    end = ordered[-1][1][1] if ordered else 0
    available = end if available is None else available
    if end > available:
        raise ValueError(f"{ordered[-1][0]!r:.80} ends after the file; is it cut short?")
    if ordered and ordered[0][1][0]:
        raise ValueError(f"no tensor has the bytes before {ordered[0][0]!r:.80}")
    for (first, (_, stop)), (second, (begin, _)) in pairwise(ordered):
        if begin < stop:
            raise ValueError(f"{first!r:.80} and {second!r:.80} overlap")
        if begin > stop:
            raise ValueError(f"no tensor has the bytes between {first!r:.80} and {second!r:.80}")
    if end < available:
        raise ValueError(f"no tensor has its last {available - end} bytes")
