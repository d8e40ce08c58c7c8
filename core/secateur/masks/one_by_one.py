"""Masks of one rule, made one weight at a time: the values may lie in files larger than memory.

The masks are those of `masks.compute`, bit for bit.  Where a weight has a target of its own, its
mask follows from its values alone.  Where all groups of a rule compete, a threshold is found
first.  A distribution of a plugin that selects by itself gives all masks at once, which are then
kept as bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.arrays.sortable_bits import common_dtype
from secateur.arrays.stored import StoredArray
from secateur.components.distributions import LAMP, Distribution, Global
from secateur.components.method import Method
from secateur.components.patterns import NM, FixedPattern, Unstructured, plane
from secateur.layout import FLOATS, Array
from secateur.masks.checked import CheckedMethod
from secateur.masks.zeros import mask_of
from secateur.selection.elements import Elements
from secateur.selection.groups import Pooled, RankedGroups
from secateur.selection.lamp import lamp
from secateur.selection.n_of_m import Sets
from secateur.selection.threshold import Threshold, threshold
from secateur.workers import SINGLE, Workers

Values = Array | StoredArray
"""The values of a weight, canonical: in memory, or where they lie in a file."""
MakeMask = Callable[[str, Values], Array]
"""Returns the canonical mask of the weight of a name that has these values."""


@dataclass(frozen=True)
class Parts:
    """The mask of a weight, made in parts from the values that are about to be written.

    Attributes:
        make: Returns the mask of a part, flat, given the position in the file of its first value,
            and its values; several threads may call it.
        together: Each part begins and ends at a multiple of this position.

    """

    make: Callable[[int, Array], Array]
    together: int = 1


MakeParts = Callable[[str, StoredArray], Parts | None]
"""Looks at a weight as far as it must, and returns its mask in parts."""


@dataclass(frozen=True)
class Masks:
    """The masks of a rule.

    Attributes:
        whole: Makes the mask of a weight.
        parts: Makes it in parts, if it can; its bits are those of `whole`.

    """

    whole: MakeMask
    parts: MakeParts = lambda name, values: None


class WeightInFile(Protocol):
    """A weight of a rule.

    Attributes:
        spec: What is known of it.
        dtype: The dtype of its values.
        here: Whether this process has it; another one has it otherwise.

    """

    spec: WeightSpec
    dtype: np.dtype[Any]
    here: bool

    def values(self) -> Values:
        """Return its values."""
        ...


def masks_of(
    method: Method, weights: Sequence[WeightInFile], sparsity: float, workers: Workers = SINGLE
) -> Masks:
    """Return what makes the mask of each weight of a rule.

    Args:
        method: The components that decide.
        weights: The weights of the rule, the same on all workers.
        sparsity: The target.
        workers: The processes among which the weights are divided, each of them whole.

    Raises:
        WeightError: A value is NaN or infinite, here or when the mask is made.
        PluginError: A component fails, or returns what it must not; as above.

    """
    if method.keeps_zeros:
        specs = {weight.spec.name: weight.spec for weight in weights}
        nonzero = Parts(lambda start, values: values != 0)
        return Masks(lambda name, values: mask_of(specs[name], values), lambda *each: nonzero)
    rule = _Rule(method, weights)
    if isinstance(method.pattern, FixedPattern):
        return Masks(
            lambda name, values: rule.checked.choose(rule.elements(name, values)), rule.sets
        )
    distribution = method.distribution
    if type(distribution).select is Distribution.select:
        targets = rule.checked.targets([weight.spec for weight in weights], sparsity)
        return _by_targets(rule, targets)
    if not distribution.has_target:
        return _by_values(rule, sparsity)
    groups = rule.groups(workers)
    if type(distribution) is Global or type(distribution) is LAMP:
        return _by_threshold(rule, groups, sparsity, workers)
    return _all_at_once(rule, groups, sparsity, workers)


class _Rule:
    """The weights of a rule, and how they are scored and grouped."""

    def __init__(self, method: Method, weights: Sequence[WeightInFile]) -> None:
        self.method, self.weights = method, weights
        names = [weight.spec.name for weight in weights]
        self.checked = CheckedMethod(method, 0, names)
        self.numbers = {name: number for number, name in enumerate(names)}
        nothing = [np.empty(0, weight.dtype) for weight in weights]
        self._common = common_dtype(nothing) if method.distribution.compares_weights else None

    def elements(self, name: str, values: Values) -> Elements:
        spec = self.weights[self.numbers[name]].spec
        return Elements(spec, values, self.method.criterion, 0, compare_as=self._common)

    def group(self, name: str, values: Values) -> RankedGroups:
        elements = self.elements(name, values)
        return self.checked.group(elements).made_from(elements)

    def sets(self, name: str, values: StoredArray) -> Parts | None:
        """Return a mask in parts that consist of whole sets."""
        pattern, elements = self.method.pattern, self.elements(name, values)
        if type(pattern) is not NM or not self.method.criterion.elementwise:
            return None
        sets = Sets(elements, plane(elements.spec)[1], pattern.keep, pattern.of)
        return Parts(sets.choose, sets.together)

    def single(self, name: str, values: StoredArray) -> Elements | None:
        """Return the elements of a weight, if each is a group whose score follows from it alone."""
        if type(self.method.pattern) is Unstructured and self.method.criterion.elementwise:
            return self.elements(name, values)
        return None

    def expand(self, name: str, kept: Array) -> Array:
        return self.checked.expand(kept, self.weights[self.numbers[name]].spec)

    def groups(self, workers: Workers) -> list[RankedGroups]:
        """Return the groups of every weight; of those of other workers, that they exist."""
        if workers.count == 1:
            return [self.group(weight.spec.name, weight.values()) for weight in self.weights]
        here: dict[int, RankedGroups] = {}
        known = np.zeros((2, len(self.weights)), np.int64)
        for number, weight in enumerate(self.weights):
            if weight.here:
                elements = self.elements(weight.spec.name, weight.values())
                elements.as_part_of(weight.spec.size, _same)
                group = self.checked.group(elements).made_from(elements)
                here[number] = group.as_part_of(group.size, _same)
                dtype = group.scores(slice(0, 0)).dtype
                known[:, number] = group.size, FLOATS.index(dtype.name)
        known = workers.total(known)
        return [
            here[number] if number in here else self._elsewhere(number, *known[:, number].tolist())
            for number in range(len(self.weights))
        ]

    def _elsewhere(self, number: int, count: int, dtype: int) -> RankedGroups:
        """Return that another worker has the groups of a weight."""
        weight = self.weights[number]
        nothing = np.empty(0, weight.dtype)
        elements = Elements(weight.spec, nothing, self.method.criterion)
        elements.as_part_of(weight.spec.size, _same)
        groups = Pooled(weight.spec, np.empty(0, np.dtype(FLOATS[dtype])), None)
        return groups.as_part_of(count, _same).made_from(elements)


def _same(index: Array) -> Array:
    return index


def _by_targets(rule: _Rule, targets: Sequence[float | Fraction]) -> Masks:
    def make(name: str, values: Values) -> Array:
        group = rule.group(name, values)
        return rule.expand(name, rule.checked.keep(group, targets[rule.numbers[name]]))

    def parts(name: str, values: StoredArray) -> Parts | None:
        elements = rule.single(name, values)
        if elements is None:
            return None
        found = rule.checked.threshold(elements, targets[rule.numbers[name]])
        return _above(found, 0, elements)

    return Masks(make, parts)


def _above(found: Threshold, number: int, elements: Elements) -> Parts:
    return Parts(
        lambda start, values: found.part(number, elements, start, elements.keys_of(start, values))
    )


def _by_values(rule: _Rule, sparsity: float) -> Masks:
    def make(name: str, values: Values) -> Array:
        group = rule.group(name, values)
        return rule.expand(name, rule.checked.select([group], sparsity, SINGLE)[0])

    return Masks(make)


def _by_threshold(
    rule: _Rule, groups: list[RankedGroups], sparsity: float, workers: Workers
) -> Masks:
    keep = keep_count(sum(group.count for group in groups), sparsity)
    is_lamp = type(rule.method.distribution) is LAMP
    if is_lamp:
        groups = lamp(groups, keep, workers)
    found = threshold(groups, keep, workers)

    def make(name: str, values: Values) -> Array:
        number = rule.numbers[name]
        group = groups[number] if is_lamp else rule.group(name, values)
        return rule.expand(name, found.mask(number, group))

    def parts(name: str, values: StoredArray) -> Parts | None:
        elements = None if is_lamp else rule.single(name, values)
        return None if elements is None else _above(found, rule.numbers[name], elements)

    return Masks(make, parts)


@dataclass(frozen=True)
class _Bits:
    """A mask, a bit for each group, in the memory order of the groups."""

    bits: Array
    shape: tuple[int, ...]

    @classmethod
    def of(cls, mask: Array) -> _Bits:
        return cls(np.packbits(mask.reshape(-1)), mask.shape)

    def mask(self) -> Array:
        size = int(np.prod(self.shape, dtype=np.int64))
        return np.unpackbits(self.bits, count=size).view(bool).reshape(self.shape)


def _all_at_once(
    rule: _Rule, groups: list[RankedGroups], sparsity: float, workers: Workers
) -> Masks:
    kept = [_Bits.of(mask) for mask in rule.checked.select(groups, sparsity, workers)]
    return Masks(lambda name, values: rule.expand(name, kept[rule.numbers[name]].mask()))
