"""Settings in words, for tables that people read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secateur.components.component import Component
from secateur.components.method import Method


def method_in_words(method: Method | None) -> str:
    """Return how weights are pruned, what differs most among rules first.

    >>> from secateur.components.criteria import Magnitude
    >>> from secateur.components.distributions import Uniform
    >>> from secateur.components.patterns import Unstructured
    >>> from secateur.components.schedules import OneShot
    >>> schedule = OneShot(final_sparsity=0.5)
    >>> method_in_words(Method(schedule, Magnitude(), Unstructured(), Uniform()))
    'one_shot (final_sparsity 0.5); unstructured; uniform; magnitude'
    """
    if method is None:
        return "dense"
    parts = (method.schedule, method.pattern, method.distribution, method.criterion)
    return "; ".join(_part_in_words(part) for part in parts)


def _part_in_words(part: Component) -> str:
    settings = part.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_defaults=True)
    return f"{part.kind} ({table_in_words(settings)})" if settings else part.kind


def table_in_words(table: Mapping[str, Any]) -> str:
    """Return a table of settings as words, ``""`` for an empty one.

    >>> table_in_words({"kind": ["conv", "dense"], "min_size": 1024})
    'kind conv or dense, min_size 1024'
    """
    return ", ".join(f"{key} {_value_in_words(value)}" for key, value in table.items())


def _value_in_words(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"({table_in_words(value)})"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return " or ".join(value)
    return str(value)
