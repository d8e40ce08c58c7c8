"""Masks that are the zeros which weights hold already, and whether these lie as a pattern says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from secateur.adapter import Weight, WeightSpec
from secateur.arrays import sizes
from secateur.arrays.chunks import map_threads, pieces
from secateur.arrays.stored import StoredArray
from secateur.components.criteria import Magnitude
from secateur.components.method import Method
from secateur.components.patterns import FixedPattern, Pattern, Unstructured, grid_of, tile_of
from secateur.layout import Array
from secateur.masks.checked import CheckedMethod
from secateur.masks.exchange import Rounds
from secateur.masks.together import checked_together
from secateur.selection.elements import Elements
from secateur.selection.groups import RankedGroups
from secateur.selection.tiles import any_in_tiles
from secateur.workers import SINGLE, Workers


class ZerosFound(NamedTuple):
    """The zeros of a weight, and how they fill the groups of a pattern.

    Attributes:
        size: The number of its elements.
        zeros: How many of them are zero.
        groups: How many groups the pattern lays; 0 where it says no groups.
        broken: How many of these do not hold: they have zeros among other values or, where the
            pattern fixes the sparsity, more values than it keeps.

    """

    size: int
    zeros: int
    groups: int
    broken: int


def mask_of(spec: WeightSpec, values: Array | StoredArray) -> Array:
    """Return where a weight is not zero, in the shape of its values.

    Raises:
        WeightError: A value is NaN or infinite.

    """
    return _nonzero(Elements(spec, values, Magnitude()))


def masks_of_zeros(
    weights: Sequence[Weight], previous: Mapping[str, Array], workers: Workers
) -> dict[str, Array]:
    """Return the masks of weights whose zeros stay; of a sharded weight the part held here.

    Args:
        weights: The weights.
        previous: The masks so far; what they prune stays pruned.
        workers: The processes that shard the weights.

    Raises:
        WeightError: A value is NaN or infinite; on all workers.

    """
    elements = [_elements(weight) for weight in weights]

    def check() -> None:
        for each in elements:
            each.check()

    if any(weight.sharded for weight in weights):
        checked_together(check, workers)
    masks = {each.spec.name: _nonzero(each) for each in elements}
    return {n: mask & previous[n] if n in previous else mask for n, mask in masks.items()}


def zeros_found(method: Method, weight: Weight, workers: Workers = SINGLE) -> ZerosFound:
    """Return how the zeros of a weight fill the groups of its rule's pattern.

    Args:
        method: How the rule prunes.
        weight: The weight.
        workers: The processes that shard it.

    """
    return _found(method, _elements(weight), workers if weight.sharded else None)


def zeros_in(method: Method, spec: WeightSpec, values: Array | StoredArray) -> ZerosFound:
    """Return what `zeros_found` does of values that may lie in a file.

    Args:
        method: How the rule prunes.
        spec: The weight.
        values: Its values.

    """
    return _found(method, Elements(spec, values, Magnitude()), None)


def _elements(weight: Weight) -> Elements:
    elements = Elements(weight.spec, weight.read(), Magnitude())
    return elements.as_part_of(weight.spec.size, weight.index) if weight.sharded else elements


def _nonzero(elements: Elements) -> Array:
    mask = np.empty(elements.size, bool)

    def compare(some: tuple[int, int]) -> None:
        np.greater(elements.scores(slice(*some)), 0, out=mask[slice(*some)])

    map_threads(compare, list(pieces(0, elements.size, sizes.CHUNK)))
    return elements.canonical(mask)


def _found(method: Method, elements: Elements, workers: Workers | None) -> ZerosFound:
    counts = np.zeros(3, np.int64)
    counts[0] = elements.size - np.count_nonzero(_nonzero(elements))
    for region in _regions(method, elements, workers):
        counts[1:] += _groups(method, region)
    zeros, groups, broken = (counts if workers is None else workers.total(counts)).tolist()
    return ZerosFound(elements.spec.size, zeros, groups, broken)


def _regions(method: Method, elements: Elements, workers: Workers | None) -> Iterator[RankedGroups]:
    """Yield the elements in regions of whole groups, where the pattern says groups of several."""
    pattern = method.pattern
    if isinstance(pattern, Unstructured) or type(pattern).extent is Pattern.extent:
        return  # the latter is a plugin's, which does not say its groups
    if workers is None:
        yield elements
        return
    extent = CheckedMethod(method, 0, [elements.spec.name]).extent(elements.spec)
    for region in Rounds.across(elements, extent, workers).regions():
        yield region.scores(elements)


def _groups(method: Method, elements: RankedGroups) -> tuple[int, int]:
    """Return how many groups some elements have, and how many of them do not hold."""
    pattern, spec = method.pattern, elements.spec
    checked = CheckedMethod(method, 0, [spec.name])
    extent = checked.extent(spec)
    total = int(np.prod(grid_of(extent, spec.shape)))
    if not total:
        return 0, 0
    nonzero, tile = _nonzero_in(elements), tile_of(extent, spec.shape)
    if isinstance(pattern, FixedPattern):
        broken = any_in_tiles(nonzero & ~checked.choose(elements), tile)
    else:
        broken = any_in_tiles(nonzero, tile) & any_in_tiles(~nonzero, tile)
    return total, int(np.count_nonzero(broken))


def _nonzero_in(elements: RankedGroups) -> Array:
    return _nonzero(elements) if isinstance(elements, Elements) else elements.array() > 0
