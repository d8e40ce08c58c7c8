"""The policies that the checks run under."""

from __future__ import annotations

from itertools import product
from typing import Any

_PATTERNS: dict[str, dict[str, Any]] = {
    "unstructured": {"kind": "unstructured"},
    "blocks 2x3, mean": {"kind": "block", "out": 2, "in": 3},
    "blocks 4x1, max": {"kind": "block", "out": 4, "in": 1, "pooling": "max"},
    "channels out": {"kind": "channel", "axis": "out"},
    "channels in": {"kind": "channel", "axis": "in"},
}
_DISTRIBUTIONS = ("uniform", "erk", "global", "lamp")


def once(sparsity: float, **settings: Any) -> dict[str, Any]:
    """Return a policy that prunes everything once."""
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    return {"schedule": schedule, "rules": [{"match": {}, **settings}]}


def constant(sparsity: float, begin: int = 0) -> dict[str, Any]:
    """Return a policy that holds one sparsity, with masks recomputed every step."""
    schedule = {"kind": "constant", "final_sparsity": sparsity, "begin_step": begin}
    return {"schedule": schedule | {"frequency": 1}}


def growing(end: int = 4, **settings: Any) -> dict[str, Any]:
    """Return a policy whose masks change at every step, from 0.2 to 0.8."""
    schedule = {"kind": "linear", "initial_sparsity": 0.2, "final_sparsity": 0.8}
    schedule |= {"begin_step": 0, "end_step": end, "frequency": 1}
    return {"schedule": schedule, "rules": [{"match": {}, **settings}]}


def moving(criterion: str) -> dict[str, Any]:
    """Return a policy by which weights go and others come at every step up to the fourth."""
    schedule = {"kind": "constant", "final_sparsity": 0.5, "end_step": 5, "frequency": 1}
    return {"criterion": {"kind": criterion, "fraction": 0.5}, "schedule": schedule}


def alternating() -> dict[str, Any]:
    """Return a policy that prunes at steps 1 and 5, and lets everything come back at step 3."""
    schedule = {"kind": "ac_dc", "final_sparsity": 0.5, "begin_step": 1, "end_step": 5}
    return {"schedule": schedule | {"frequency": 2}}


def below_thresholds() -> dict[str, Any]:
    """Return a policy of thresholds of which half is reached at step 0, and all at step 1.

    The layer "first" is pruned by its own standard deviation, the others by an absolute value.
    """
    schedule = {"kind": "linear", "initial_sparsity": 0.25, "final_sparsity": 0.5, "end_step": 1}
    by_deviations = {"kind": "threshold", "deviations": 1.0}
    return {
        "schedule": schedule,
        "distribution": {"kind": "threshold", "value": 0.6},
        "rules": [{"match": {"name": "first*"}, "distribution": by_deviations}, {"match": {}}],
    }


EVERY_MASK: dict[str, dict[str, Any]] = {
    f"{pattern}, {distribution}": once(0.6, pattern=_PATTERNS[pattern], distribution=distribution)
    for pattern, distribution in product(_PATTERNS, _DISTRIBUTIONS)
} | {
    "2 of 4": {
        "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
        "rules": [{"match": {}, "pattern": {"kind": "n_m", "keep": 2, "of": 4}}],
    },
    "by chance": once(0.6, criterion={"kind": "random", "seed": 3}),
}
"""Every pattern under every distribution, and a criterion that knows weights by name."""
