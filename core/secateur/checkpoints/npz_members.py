"""What the members of a .npz file declare, checked before anything large is read.

A damaged or hostile archive may declare any size.  What is accepted takes at most as much
memory as the file itself does, or 1,032 times as much where a member is compressed: more
than that DEFLATE cannot do.
"""

from __future__ import annotations

import io
import zipfile
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from secateur.adapter import Tensor

SUFFIX = ".npy"
_RATIO = 1032
"""How many bytes DEFLATE makes of one byte at most."""
_LONGEST_HEADER = 1 << 17
_DEEPEST = 64
"""The most axes that NumPy knows."""


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Check what an archive declares of its members.

    Args:
        archive: The open archive.
        size: The size of its file.

    Raises:
        ValueError: A member is encrypted, compressed in another way than NumPy does, larger
            than it can be, there twice, or in the bytes of another one.

    """
    names: set[str] = set()
    for member in archive.infolist():
        name = f"{member.filename:.80}"
        if member.filename in names:
            raise ValueError(f"{name} is there twice")
        names.add(member.filename)
        if member.flag_bits & 0x1:
            raise ValueError(f"{name} is encrypted")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{name} is compressed by another method than NumPy's")
        ratio = 1 if member.compress_type == zipfile.ZIP_STORED else _RATIO
        if member.file_size > ratio * member.compress_size:
            raise ValueError(f"{name} claims {member.file_size} bytes")
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    ends = [member.header_offset + member.compress_size for member in members]
    if members and ends[-1] > size:
        raise ValueError(f"{members[-1].filename:.80} ends after the file")
    for end, (first, second) in zip(ends, pairwise(members), strict=False):
        if end > second.header_offset:
            raise ValueError(f"{first.filename:.80} and {second.filename:.80} overlap")


def declared(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo
) -> tuple[Tensor, np.dtype[Any], bool]:
    """Return what a member declares of its array, its dtype, and whether it lies by columns.

    Args:
        archive: The open archive.
        member: A member whose name ends with `SUFFIX`.

    Raises:
        ValueError: No array can have the shape, or the member is of another size.

    """
    with archive.open(member) as file:
        start = io.BytesIO(file.read(_LONGEST_HEADER))
    version = np.lib.format.read_magic(start)
    if version == (1, 0):
        shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(start)
    else:
        shape, is_fortran, dtype = np.lib.format.read_array_header_2_0(start)
    name = member.filename.removesuffix(SUFFIX)
    nonzero = prod(length for length in shape if length) * max(dtype.itemsize, 1)
    counts = all(type(length) is int and length >= 0 for length in shape)
    if not counts or len(shape) > _DEEPEST or nonzero >= 1 << 63:
        raise ValueError(f"{name:.80}: no array can have the shape {shape!s:.80}")
    size = prod(shape) * dtype.itemsize
    if not dtype.hasobject and size != member.file_size - start.tell():
        raise ValueError(f"{name:.80}: shape {shape!s:.80} of {dtype} takes {size} bytes")
    return Tensor(name, dtype.name, shape), dtype, is_fortran
