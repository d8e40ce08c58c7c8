"""Why a target cannot use the zeros of a weight, whatever they are."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from secateur.adapter import WeightSpec
from secateur.arrays.counts import keep_count
from secateur.components.patterns import grid_of
from secateur.kinds import kind_named
from secateur.targets.target import Need, Sizes, Use

CONVOLUTIONS = ("conv", "conv_transpose", "depthwise")


def why_not(use: Use, spec: WeightSpec) -> tuple[str, ...]:
    """Return the reasons why a use does not take a weight; none if it does.

    Args:
        use: One use of a target.
        spec: The weight.

    Example:
        >>> from secateur.targets.load import load
        >>> spec = WeightSpec("fc", "dense", "kernel", (10, 30), "float32", "fc")
        >>> why_not(load("openvino").use("packed"), spec)
        ('out = 10 is no multiple of 64', 'in = 30 is no multiple of 64')

    """
    if not spec.size:
        return ("holds no element",)
    for need in use.needs:
        if need.kinds and spec.kind not in need.kinds:
            return (f"{_of_kind(spec)}: taken are {', '.join(need.kinds)}",)
    reasons = tuple(reason for need in use.needs for reason in _unmet(need, spec))
    return reasons or tuple(_too_small(use, spec))


def _unmet(need: Need, spec: WeightSpec) -> Iterator[str]:
    name, value = need.condition
    if name == "dtypes" and spec.dtype not in value:
        yield f"{spec.dtype}: cast the model to {value[0]} first"
    elif name == "window" and spec.kind in CONVOLUTIONS and set(spec.shape[2:]) - {1}:
        yield f"window {'x'.join(map(str, spec.shape[2:]))}: only 1x1 is taken"
    elif name == "groups" and (spec.groups or 1) > 1:
        yield f"grouped convolution ({spec.groups} groups)"
    elif name == "spatial" and spec.kind in CONVOLUTIONS and len(spec.shape) - 2 > value:
        yield f"convolution over {len(spec.shape) - 2} axes: at most {value} are taken"
    elif name == "multiple":
        yield from (
            f"{axis} = {size} is no multiple of {wanted}"
            for axis, size, wanted in _axes(spec, value)
            if size % wanted
        )
    elif name == "least":
        yield from (
            f"{axis} = {size} is below {wanted}"
            for axis, size, wanted in _axes(spec, value)
            if size < wanted
        )


def _of_kind(spec: WeightSpec) -> str:
    return "depthwise convolution" if spec.kind == "depthwise" else f"kind {spec.kind}"


def _axes(spec: WeightSpec, wanted: Sizes) -> Iterator[tuple[str, int, int]]:
    kind = kind_named(spec.kind)
    yield "out", spec.shape[kind.out_axis], wanted.out
    yield "in", spec.shape[kind.in_axis], wanted.in_


def _too_small(use: Use, spec: WeightSpec) -> Iterator[str]:
    """Yield a reason if the suggested sparsity would leave nothing, or cannot be met by counts."""
    if use.suggests is None:
        return
    count = prod(grid_of(use.pattern.checked_extent(spec), spec.shape))
    kept = keep_count(count, use.suggests)
    if not kept:
        yield f"too small: a sparsity of {use.suggests} would leave nothing of it"
    elif use.sparsity and not use.sparsity.over_all and not use.sparsity.meets(count - kept, count):
        yield f"too small for a sparsity {use.sparsity}: it has {count} {use.pattern.kind} groups"
