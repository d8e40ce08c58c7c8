"""Which tensor of a written file holds a weight, and whether its zeros are there.

Converters rename, transpose, split, join and scale weights: a batch norm that is folded into a
convolution multiplies each output by a number.  So a weight is found by its values: the rows of
some layout of some tensor must point where the rows of the weight point.  That is a question of
large values, and says nothing of the zeros, which are compared afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np

from secateur.hooks.exporter import StoredTensor
from secateur.layout import Array

_ALIKE = 0.95
"""The least cosine of a row of a weight and the same row of a tensor: int8 comes to 0.99."""
_SHORT_ROW = 4
"""Rows of fewer values point alike by chance; such a weight is compared as one row."""


@dataclass(frozen=True)
class Found:
    """A weight in a file.

    Attributes:
        tensors: The names of the tensors that hold it.
        dtypes: The dtypes of these tensors.
        zeros: How many of its values are exactly 0 there.
        lost: How many values are 0 in the model and not in the file.
        where: The index of the first of them in the canonical weight, or None.

    """

    tensors: tuple[str, ...]
    dtypes: tuple[str, ...]
    zeros: int
    lost: int
    where: tuple[int, ...] | None = None


def find(weight: Array, leading: int, tensors: Sequence[StoredTensor]) -> Found | None:
    """Return where a weight lies in a file, or None where it could not be found.

    Args:
        weight: The values, in canonical layout.
        leading: How many axes come before that of the outputs, such as one for the gates of an
            rnn: a file may hold what lies along them in another order, or in several tensors.
        tensors: The tensors of the file.

    """
    outer = weight.shape[:leading]
    holding: list[StoredTensor] = []
    zeros = lost = 0
    where: tuple[int, ...] | None = None
    for index in np.ndindex(outer):
        part = _find_part(weight[index], tensors)
        if part is None:
            return None
        tensor, missing, count = part
        holding.append(tensor)
        zeros, lost = zeros + count, lost + int(missing.sum())
        if where is None and missing.any():
            where = (*index, *(int(i) for i in np.argwhere(missing)[0]))
    return Found(_distinct(t.name for t in holding), _dtypes(holding), zeros, lost, where)


def _dtypes(tensors: Iterable[StoredTensor]) -> tuple[str, ...]:
    """Return the dtypes of tensors, each once."""
    return _distinct(str(tensor.values.dtype) for tensor in tensors)


def _distinct(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))


_Match = tuple[StoredTensor, Array, int]
"""The tensor that holds a part, where zeros of the part are missing, and how many there are."""


def _find_part(part: Array, tensors: Iterable[StoredTensor]) -> _Match | None:
    """Return the best match of a part, or the first one that has all its zeros."""
    zeros = part == 0
    best: _Match | None = None
    for tensor in tensors:
        if tensor.values.size < part.size or tensor.values.size % part.size:
            continue
        for real, is_zero in _blocks(tensor, part.shape):
            if not _alike(part, real):
                continue
            missing = zeros & ~is_zero
            if best is None or missing.sum() < best[1].sum():
                best = tensor, missing, int(is_zero.sum())
            if not missing.any():
                return best
    return best


def _blocks(tensor: StoredTensor, shape: tuple[int, ...]) -> Iterator[tuple[Array, Array]]:
    """Yield every part of a tensor that has the canonical shape of a weight in some order.

    Rows of several gates, or of query, key and value, lie behind one another in one tensor.
    """
    real, is_zero = tensor.real(), tensor.is_zero()
    rest = [length for length in shape[1:] if length != 1]
    seen = [length for length in real.shape if length != 1]
    real, is_zero = real.reshape(seen), is_zero.reshape(seen)
    for order in permutations(range(len(seen))):
        turned = [seen[axis] for axis in order]
        if turned[len(turned) - len(rest) :] != rest:
            continue
        blocks = (-1, *shape)
        yield from zip(
            real.transpose(order).reshape(blocks),
            is_zero.transpose(order).reshape(blocks),
            strict=True,
        )


def _alike(part: Array, real: Array) -> bool:
    """Return whether the rows of two arrays point the same way, or the opposite way."""
    rows = part.reshape(len(part), -1) if part.ndim else part.reshape(1, 1)
    if rows.shape[1] < _SHORT_ROW:
        rows = part.reshape(1, -1)
    first = rows.astype(np.float64)
    second = real.reshape(rows.shape).astype(np.float64)
    lengths = np.sqrt((first**2).sum(1)), np.sqrt((second**2).sum(1))
    judged = (lengths[0] > 0) & (lengths[1] > 0)
    if not judged.any():
        return not lengths[0].any() and not lengths[1].any()
    cosines = np.abs((first * second).sum(1)[judged]) / (lengths[0] * lengths[1])[judged]
    return bool(np.median(cosines) >= _ALIKE)
