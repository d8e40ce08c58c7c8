"""What is pruned in each variant of a network: one policy for both frameworks."""

from __future__ import annotations

from typing import Any

DENSE = "dense"
"""Trained as long as the pruned ones, and never pruned."""
_KINDS = ["conv", "dense", "rnn"]


def _gradual(sparsity: float, pattern: Any = "unstructured") -> dict[str, Any]:
    """Gradually (arXiv 1710.01878); each network says from where to where in its run."""
    return {
        "schedule": {
            "kind": "polynomial",
            "final_sparsity": sparsity,
            "frequency": 20,
        },
        "rules": [{"match": {"kind": _KINDS}, "pattern": pattern}],
    }


_TWO_OF_FOUR = {
    "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
    "pattern": {"kind": "n_m", "keep": 2, "of": 4},
    "rules": [{"match": {"kind": _KINDS}}],
}
POLICIES: dict[str, dict[str, Any] | None] = {
    DENSE: None,
    "90 %": _gradual(0.9),
    "2:4": _TWO_OF_FOUR,
    "4x1, 90 %": _gradual(0.9, {"kind": "block", "out": 4, "in": 1, "pooling": "avg"}),
    "95 %": _gradual(0.95),
}
"""The policy of each variant."""


def between(policy: dict[str, Any], begin: str, end: str) -> dict[str, Any]:
    """Return a policy whose masks grow in a part of a run, where it is a gradual one."""
    schedule = policy["schedule"]
    if schedule["kind"] != "one_shot":
        schedule = {**schedule, "begin_step": begin, "end_step": end}
    return {**policy, "schedule": schedule}


def in_one_shot(policy: dict[str, Any]) -> dict[str, Any]:
    """Return a policy that prunes at once, for networks that are not trained."""
    final = policy["schedule"]["final_sparsity"]
    return {**policy, "schedule": {"kind": "one_shot", "final_sparsity": final}}
