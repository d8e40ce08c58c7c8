"""The built-ins, registered through the same hooks as any plugin."""

from __future__ import annotations

from secateur.adapter import Adapter
from secateur.components import criteria, distributions, patterns, schedules, threshold
from secateur.components.schedule import Schedule
from secateur.hooks.hookspecs import hookimpl
from secateur.kinds import BUILTIN_KINDS, Kind
from secateur.numpy_adapter import NumpyAdapter


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [NumpyAdapter()]


@hookimpl
def secateur_kinds() -> list[Kind]:
    return list(BUILTIN_KINDS)


@hookimpl
def secateur_schedules() -> list[type[Schedule]]:
    return [
        schedules.Constant,
        schedules.OneShot,
        schedules.Polynomial,
        schedules.Linear,
        schedules.Cosine,
        schedules.Exponential,
        schedules.Piecewise,
        schedules.KeepZeros,
        schedules.AcDc,
    ]


@hookimpl
def secateur_criteria() -> list[type[criteria.Criterion]]:
    return [
        criteria.Magnitude,
        criteria.Random,
        criteria.Saliency,
        criteria.Movement,
        criteria.Fisher,
        criteria.GradientMagnitude,
        criteria.RigL,
        criteria.SparseEvolution,
    ]


@hookimpl
def secateur_patterns() -> list[type[patterns.Pattern]]:
    return [patterns.Unstructured, patterns.Block, patterns.NM, patterns.Channel]


@hookimpl
def secateur_distributions() -> list[type[distributions.Distribution]]:
    return [
        distributions.Uniform,
        distributions.ERK,
        distributions.Global,
        distributions.LAMP,
        threshold.Threshold,
    ]
