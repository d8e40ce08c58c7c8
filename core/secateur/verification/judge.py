"""One weight, or the mask of one, beside what the policy asks of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from secateur.adapter import WeightSpec
from secateur.components.criteria import Magnitude
from secateur.components.method import Method
from secateur.components.patterns import FixedPattern
from secateur.layout import Array
from secateur.run.checks.group_counts import Groups, groups_of
from secateur.verification.counted import Sets, Values, first_of, sets_of, zeros_of

USUAL = 0.01
"""Up to this fraction of a weight may be zero by nature: padding rows, float16's underflow."""
_UNITS = {"unstructured": "weights", "block": "blocks", "channel": "channels"}


@dataclass(frozen=True)
class Look:
    """What a weight holds.

    Attributes:
        spec: The weight.
        values: What of it is zero, and what is no number.
        method: How its rule prunes; None where it stays dense, or nothing is pruned yet.
        groups: The groups of its pattern; None of other weights.
        sets: How it fits a pattern that fixes its sparsity; None of other weights.
        masks: What the given masks say of it.
        is_growing: Whether some of it may have come back just now, and be zero still.

    """

    spec: WeightSpec
    values: Values
    method: Method | None
    groups: Groups | None
    sets: Sets | None
    masks: tuple[MaskLook, ...] = ()
    is_growing: bool = False

    @property
    def is_counted(self) -> bool:
        """Whether an exact number of its groups is pruned."""
        return self.method is not None and self.groups is not None

    @property
    def unit(self) -> str:
        """What is counted of it."""
        if not self.is_counted or self.method is None:
            return "weights"
        return _UNITS.get(self.method.pattern.kind, "groups")


@dataclass(frozen=True)
class MaskLook:
    """What a given mask says of a weight.

    Attributes:
        source: What the masks are called.
        problem: Why the mask cannot be compared; None if it can.
        nonzero: How many values are not +0.0 or -0.0 where it prunes.
        first: The index of the first of these; None without any.
        kept_zeros: How many values are zero where it keeps.
        mask: What the mask itself holds; None where it cannot be compared.

    """

    source: str
    problem: str | None
    nonzero: int = 0
    first: tuple[int, ...] | None = None
    kept_zeros: int = 0
    mask: Look | None = None


def look(spec: WeightSpec, nonzero: Array, values: Values, method: Method | None) -> Look:
    """Return what a weight, or a mask of it, holds.

    Args:
        spec: The weight.
        nonzero: Where it is not zero.
        values: What of it is zero, and what is no number.
        method: How its rule prunes; None where it is dense.

    """
    if method is None:
        return Look(spec, values, None, None, None)
    if isinstance(method.pattern, FixedPattern):
        return Look(spec, values, method, None, sets_of(nonzero, method.pattern, spec))
    return Look(spec, values, method, groups_of(nonzero, method.pattern, spec), None)


def compare(
    spec: WeightSpec, nonzero: Array, method: Method | None, source: str, mask: Array | None
) -> MaskLook:
    """Return what a given mask says of a weight.

    Args:
        spec: The weight.
        nonzero: Where it is not zero.
        method: How its rule prunes; None where it is dense.
        source: What the masks are called.
        mask: The mask; None without one.

    """
    if mask is None:
        return MaskLook(source, f"{source} has no mask for it" if method else None)
    if mask.shape != spec.shape:
        return MaskLook(source, f"{source} has a mask of shape {mask.shape} for {spec.shape}")
    if method is None and mask.all():
        return MaskLook(source, None)
    if method is None:
        return MaskLook(source, f"{source} prunes it, and it stays dense by the policy")
    wrong = nonzero & ~mask
    lost = int(np.count_nonzero(wrong))
    zeros = int(np.count_nonzero(mask & ~nonzero))
    held = look(spec, mask, Values(zeros_of(mask)), method)
    return MaskLook(source, None, lost, first_of(wrong) if lost else None, zeros, held)


def problems(look: Look, asked: int | None, usual: float | None) -> Iterator[str]:
    """Yield what is wrong with one weight.

    Args:
        look: What it holds.
        asked: How many of its groups must be zero; None where that is asked of several weights.
        usual: The fraction that may be zero beyond what is asked; None for the usual.

    """
    if look.method is not None and look.values.not_finite:
        at = look.values.first
        yield f"NaN or infinite values: {look.values.not_finite:,}, the first at {at}"
    for each in look.masks:
        yield from _mask_problems(each, asked)
    is_proven = any(each.mask for each in look.masks)
    if look.method is None:
        if look.values.zeros > (USUAL if usual is None else usual) * look.spec.size:
            yield f"zeros in a weight that stays dense: {look.values.zeros:,}"
    elif look.sets is not None:
        yield from _set_problems(look.sets, look.spec, is_proven, usual)
    elif look.groups is None:
        if not is_proven:
            yield "its pattern does not say its groups; only masks can prove it"
    else:
        yield from _group_problems(look, look.groups, asked, is_proven, usual)


def _mask_problems(each: MaskLook, asked: int | None) -> Iterator[str]:
    if each.problem:
        yield each.problem
    if each.nonzero:
        yield (
            f"not zero where the mask of {each.source} prunes: {each.nonzero:,}, the first at "
            f"{each.first}"
        )
    if each.mask is not None:
        for problem in problems(each.mask, asked, 0.0):
            yield f"the mask of {each.source}: {problem}"


def _set_problems(
    sets: Sets, spec: WeightSpec, is_proven: bool, usual: float | None
) -> Iterator[str]:
    if sets.nonzero:
        yield f"weights beyond those that the pattern keeps are not zero: {sets.nonzero:,}"
    if not is_proven and sets.more > (USUAL if usual is None else usual) * spec.size:
        yield f"zeros beyond those that the pattern asks: {sets.more:,}"


def _group_problems(
    look: Look, groups: Groups, asked: int | None, is_proven: bool, usual: float | None
) -> Iterator[str]:
    unit, size = look.unit, look.spec.size
    allowed = (USUAL if usual is None else usual) * size
    if asked is not None and groups.zero < asked:
        inside = f"; zeros in others: {groups.loose:,}" if groups.loose else ""
        yield f"too few zero {unit}, by {asked - groups.zero:,}{inside}"
    elif groups.loose > allowed and not is_proven:
        yield f"zeros in {unit} that are not zero throughout: {groups.loose:,}"
    if asked is not None and not is_proven and groups.zero - asked > most_more(look, usual):
        yield f"too many zero {unit}, by {groups.zero - asked:,}"


def most_more(look: Look, usual: float | None) -> float:
    """Return how many more groups than asked may be zero by nature.

    Magnitude prunes what is zero by nature first: then there are as many zeros as asked, exactly.
    """
    groups = look.groups.total if look.groups else 0
    if look.is_growing:
        return groups
    if usual is not None:
        return usual * groups
    is_exact = look.method is not None and type(look.method.criterion) is Magnitude
    return 0 if is_exact else USUAL * groups


def rule_problem(
    label: str, looks: Mapping[str, Look], asked: int, usual: float | None
) -> str | None:
    """Return what is wrong with the weights of a rule together, or None.

    Args:
        label: What the rule is called.
        looks: What its weights hold.
        asked: How many groups of all of them must be zero.
        usual: As in `problems`.

    """
    held = list(looks.values())
    zero = sum(each.groups.zero for each in held if each.groups)
    unit = held[0].unit
    which = f"rule {label}, {unit} of all {len(held)}: {zero:,} zero, {asked:,} asked"
    if zero < asked:
        return f"{which}, too few by {asked - zero:,}"
    allowed = sum(most_more(each, usual) for each in held)
    if zero - asked > allowed and not all(each.masks for each in held):
        return f"{which}, too many by {zero - asked:,}"
    return None
