"""A tensor as the sections of a packed file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from secateur.adapter import FLOATS, StateTensor
from secateur.errors import ModelError, WeightError
from secateur.layout import Array
from secateur.packing import bits, clusters, int8
from secateur.packing.dtypes import dtype_name
from secateur.packing.manifest import Entry
from secateur.packing.order import from_stored, parts_of, to_stored

MASK, VALUES, SCALES, CODEBOOK = "mask", "values", "scales", "codebook"
Sections = Mapping[str, Array]
"""The arrays of one tensor: ``values`` always, the others where they are needed."""


@dataclass(frozen=True)
class Form:
    """How the values of weights are stored.

    Attributes:
        values: "float", "int8" or "clustered".
        bits: How many bits a code has, for "clustered".

    """

    values: str = "float"
    bits: int = 4


def encode(tensor: StateTensor, form: Form, masks: Mapping[str, Array]) -> tuple[Entry, Sections]:
    """Return a tensor as a packed file holds it.

    Only weights are quantized; everything else is stored exactly.

    Args:
        tensor: The tensor.
        form: How the values of weights are stored.
        masks: Which elements of weights are kept, canonical, by the name of the weight; without
            one, those that have a bit that is set.

    Raises:
        WeightError: A weight to quantize holds NaN or infinity.
        ModelError: A dtype cannot be packed, or a mask prunes a value that is not zero.

    """
    array = tensor.read()
    parts = parts_of(tensor.parts, array.shape)
    stored = to_stored(array, tensor.parts if parts else ())
    try:
        dtype = dtype_name(array.dtype)
    except ModelError as error:
        raise ModelError(f"{tensor.name:.80}: {error}") from error
    entry = Entry(tensor.name, dtype, array.shape, parts=parts, aliases=tensor.aliases)
    mask = _mask(entry, stored, masks)
    exact = _exact(stored, mask, stored[mask])
    if form.values == "float" or not parts or array.dtype.name not in FLOATS or not mask.any():
        return entry, exact
    _check_finite(entry, stored)
    if not masks:
        mask &= stored != 0  # -0.0 is kept where every bit is, and is a zero to all else
    kept = stored[mask]
    if not kept.size or np.abs(kept.astype(np.float64)).max() > _largest(stored.dtype):
        return entry, exact
    shown = {} if mask.all() else {MASK: bits.pack_mask(mask)}
    if form.values == "int8":
        if len({part.size // part.channels for part in parts}) != 1:
            return entry, exact  # the channels of its weights have several lengths
        values, scales = int8.quantize(stored, mask, entry.channels)
        smaller = {**shown, VALUES: values, SCALES: scales}
        return _smaller((replace(entry, values="int8"), smaller), (entry, exact))
    book = _codebook(kept, 1 << form.bits)
    codes = bits.pack_codes(clusters.nearest_codes(kept, book), form.bits)
    coded = replace(entry, values="clustered", bits=form.bits)
    return _smaller((coded, {**shown, VALUES: codes, CODEBOOK: book}), (entry, exact))


def _codebook(kept: Array, size: int) -> Array:
    """Return the value of each code; 0 is one of them where a mask keeps a zero."""
    others = kept[kept != 0]
    book = clusters.codebook_of(others, size - (others.size < kept.size))
    book = np.unique(book.astype(kept.dtype)).astype(int8.scale_dtype(kept.dtype))
    return book if others.size == kept.size else np.unique(np.append(book, book.dtype.type(0)))


def _largest(dtype: np.dtype[Any]) -> float:
    """Return the largest value whose square has a place in the dtype of scales."""
    return float(np.sqrt(np.finfo(int8.scale_dtype(dtype)).max))


def _mask(entry: Entry, stored: Array, masks: Mapping[str, Array]) -> Array:
    mask = bits.nonzero_bits(stored)
    given = [masks.get(part.weight) for part in entry.parts]
    if all(each is None for each in given):
        return mask
    pieces = np.split(mask, np.cumsum([part.size for part in entry.parts])[:-1].tolist())
    for number, (part, own) in enumerate(zip(entry.parts, given, strict=True)):
        if own is None:
            continue
        if own.shape != part.shape or own.dtype != np.bool_:
            raise ModelError(
                f"the mask of {part.weight} is {own.shape} {own.dtype}, wanted {part.shape} bool"
            )
        if lost := int(np.count_nonzero(pieces[number] & ~own.reshape(-1))):
            raise ModelError(
                f"the mask of {part.weight} prunes {lost:,} values that are not zero; prune the "
                "model by it first, or leave masks= out"
            )
        pieces[number] = own.reshape(-1)
    return np.concatenate(pieces)


def _exact(stored: Array, mask: Array, kept: Array) -> Sections:
    with_mask = {MASK: bits.pack_mask(mask), VALUES: bits.to_planes(kept)}
    if _size(with_mask) < stored.nbytes:
        return with_mask
    return {VALUES: bits.to_planes(stored)}


def _smaller(
    first: tuple[Entry, Sections], second: tuple[Entry, Sections]
) -> tuple[Entry, Sections]:
    """Return the smaller form: scales and a codebook cost more than they save in a small tensor."""
    return first if _size(first[1]) < _size(second[1]) else second


def _size(sections: Sections) -> int:
    return sum(array.nbytes for array in sections.values())


def _check_finite(entry: Entry, stored: Array) -> None:
    bad = np.flatnonzero(~np.isfinite(stored.astype(np.float64)))
    if bad.size:
        raise WeightError(
            f"{entry.name}: {bad.size:,} values are NaN or infinity, the first {stored[bad[0]]}; "
            "such a weight can be packed with values='float' only"
        )


def decode(entry: Entry, sections: Sections) -> Array:
    """Return the values of a tensor, flat, in the order in which they are stored.

    Args:
        entry: What the file says of it.
        sections: Its arrays.

    Raises:
        ModelError: They do not fit one another.

    """
    dtype, size = entry.numpy_dtype, entry.size
    values = sections[VALUES]
    mask = np.ones(size, np.bool_)
    if MASK in sections:
        if sections[MASK].size != -(-size // 8):
            raise ModelError(f"its mask has {sections[MASK].size:,} bytes for {size:,} values")
        mask = bits.unpack_mask(sections[MASK], size)
    kept = int(np.count_nonzero(mask))
    if values.size != (wanted := _stored_size(entry, kept)):
        raise ModelError(f"{values.size:,} bytes hold its {kept:,} kept values, wanted {wanted:,}")
    if entry.values == "int8":
        scales = sections[SCALES]
        if not scales.size or size % scales.size:
            raise ModelError(f"{scales.size:,} scales for {size:,} values")
        with np.errstate(over="ignore", invalid="ignore"):
            return _finite(int8.dequantize(values, mask, scales, dtype), SCALES)
    if entry.values == "clustered":
        codes = bits.unpack_codes(values, kept, entry.bits)
        with np.errstate(over="ignore", invalid="ignore"):
            book = _finite(sections[CODEBOOK].astype(dtype), CODEBOOK)
        if kept and int(codes.max()) >= book.size:
            raise ModelError(f"a code is beyond its codebook of {book.size}")
        exact = book[codes]
    else:
        exact = bits.from_planes(values.reshape(dtype.itemsize, kept), dtype)
    if kept == size:
        return exact
    found = np.zeros(size, dtype)
    found[mask] = exact
    return found


def _finite(values: Array, section: str) -> Array:
    """Return values of a quantized weight, which never were NaN or infinity."""
    if not np.isfinite(values).all():
        raise ModelError(f"its {section} give values that are NaN or infinity")
    return values


def _stored_size(entry: Entry, kept: int) -> int:
    if entry.values == "int8":
        return kept
    if entry.values == "clustered":
        return -(-kept // (8 // bits.code_width(entry.bits)))
    return kept * entry.numpy_dtype.itemsize


def restored(entry: Entry, stored: Array) -> Array:
    """Return a tensor in its own layout from its stored values.

    Raises:
        ModelError: The steps of its parts do not lead there.

    """
    try:
        return from_stored(stored, entry.parts, entry.shape)
    except (ValueError, IndexError, np.exceptions.AxisError) as error:
        raise ModelError(f"its parts do not make it up: {error}") from error
