"""From the toolkit's settings to the rules of a policy, for weights of a model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from glob import escape
from math import prod
from typing import Any

import secateur
from secateur.adapter import WeightSpec
from secateur.errors import PolicyError
from secateur_keras.tfmot.called import CalledSchedule
from secateur_keras.tfmot.schedules import ConstantSparsity, PolynomialDecay, PruningSchedule
from secateur_keras.tfmot.settings import SINGLE, Settings

Table = dict[str, Any]
MOST_NAMES = 1000
"""How many names a rule of a policy may list."""


def methods_of(
    settings: Settings, specs: Sequence[WeightSpec], total_steps: int | None = None
) -> list[tuple[Table, list[WeightSpec]]]:
    """Return how weights with equal settings are pruned: alike but for a few, the most first.

    Args:
        settings: Their settings.
        specs: The weights.
        total_steps: The length of the run: writes out a schedule that is code.

    Raises:
        PolicyError: A schedule cannot be written out.

    """
    methods: dict[str, tuple[Table, list[WeightSpec]]] = {}
    tables: dict[tuple[bool, int | None], Table] = {}
    most = None if settings.sparsity_m_by_n is not None else _highest(settings.schedule)
    for spec in specs:
        swapped = spec.kind == "embedding"
        count = None if most is None else _scarce(settings, spec, most)
        if (swapped, count) not in tables:
            tables[swapped, count] = _method(settings, swapped, count, total_steps)
        table = tables[swapped, count]
        methods.setdefault(json.dumps(table, default=repr), (table, []))[1].append(spec)
    return sorted(methods.values(), key=lambda each: -len(each[1]))


def rules_for(method: Mapping[str, Any], specs: Sequence[WeightSpec]) -> Iterator[Table]:
    """Yield the rules that prune some weights, by name."""
    names = [escape(spec.name) for spec in specs]
    for start in range(0, len(names), MOST_NAMES):
        yield {"match": {"name": names[start : start + MOST_NAMES]}, **method}


def _method(settings: Settings, swapped: bool, count: int | None, total_steps: int | None) -> Table:
    return {
        "schedule": _schedule(settings, count, total_steps),
        "pattern": _pattern(settings, swapped),
    }


def _pattern(settings: Settings, swapped: bool) -> Table:
    if settings.sparsity_m_by_n is not None:
        zeros, of = settings.sparsity_m_by_n
        return {"kind": "n_m", "keep": of - zeros, "of": of}
    if settings.block_size == SINGLE:
        return {"kind": "unstructured"}
    out, inputs = _block(settings, swapped)
    pooling = settings.block_pooling_type.lower()
    return {"kind": "block", "out": out, "in": inputs, "pooling": pooling}


def _block(settings: Settings, swapped: bool) -> tuple[int, int]:
    """Return the lengths of a block along out and in.

    The toolkit's height runs along the inputs of a kernel, and along the rows of an embedding,
    which are the first axis of both.
    """
    height, width = settings.block_size
    return (height, width) if swapped else (width, height)


def _scarce(settings: Settings, spec: WeightSpec, most: float) -> int | None:
    """Return how many groups a weight has, if so few that none is kept at the sparsity `most`."""
    kind = secateur.kind_named(spec.kind)
    tile = dict(
        zip((kind.out_axis, kind.in_axis), _block(settings, spec.kind == "embedding"), strict=True)
    )
    count = prod(-(-length // tile.get(axis, 1)) for axis, length in enumerate(spec.shape))
    return count if count and secateur.keep_count(count, most) < 1 else None


def _highest(schedule: PruningSchedule) -> float:
    if isinstance(schedule, PolynomialDecay) and _is_plain(schedule):
        return max(schedule.initial_sparsity, schedule.final_sparsity)
    if isinstance(schedule, ConstantSparsity) and _is_plain(schedule):
        return schedule.target_sparsity
    return CalledSchedule.of(schedule).final


def _is_plain(schedule: PruningSchedule) -> bool:
    """Return whether a schedule is one of the toolkit's, and not of a subclass of it."""
    return type(schedule) in (ConstantSparsity, PolynomialDecay)


def _schedule(
    settings: Settings, count: int | None, total_steps: int | None
) -> Table | secateur.Schedule:
    schedule = settings.schedule
    most = 1.0 if count is None else (count - 1) / count
    if settings.sparsity_m_by_n is not None:
        zeros, of = settings.sparsity_m_by_n
        return {"kind": "one_shot", "final_sparsity": zeros / of}
    if isinstance(schedule, ConstantSparsity) and _is_plain(schedule):
        return {**schedule.table, "final_sparsity": min(schedule.target_sparsity, most)}
    if isinstance(schedule, PolynomialDecay) and _is_plain(schedule):
        return schedule.table if count is None else _keeping_one(schedule, count)
    called = CalledSchedule.of(schedule, most)
    return called if total_steps is None else _written_out(called, total_steps)


def _keeping_one(schedule: PolynomialDecay, count: int) -> Table:
    """Return the schedule for a weight of so few groups that it would end with none."""
    last = schedule.end_step
    grid = range(schedule.begin_step, last, schedule.frequency)
    values = ((step, schedule.sparsity_at(step)) for step in (*grid, last))
    kept = ((step, max(1, secateur.keep_count(count, value))) for step, value in values)
    return _points((step, (count - number) / count) for step, number in kept)


def _written_out(called: CalledSchedule, total_steps: int) -> Table:
    due = [step for step in range(total_steps + 1) if called.updates_at(step)]
    if not due:
        raise PolicyError(
            f"the schedule {called.class_name} recomputes no mask in {total_steps} steps, so there "
            "is nothing to write"
        )
    return _points(((step, called.sparsity(step)) for step in due), every=True)


def _points(points: Any, every: bool = False) -> Table:
    """Return a schedule that jumps from value to value, leaving out repeats unless `every`."""
    chosen: list[tuple[int, float]] = []
    for step, value in points:
        if every or not chosen or chosen[-1][1] != value:
            chosen.append((step, value))
    length = chosen[-1][0] - chosen[0][0] + 1
    return {
        "kind": "piecewise",
        "points": [list(point) for point in chosen],
        "interpolation": "constant",
        "frequency": length,  # at the points alone
    }
