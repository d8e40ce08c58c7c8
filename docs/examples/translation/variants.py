"""How the translation network is trained, and what each variant of it is pruned by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from translation.shape import RULES, SMALL

RATE = 3e-3
BATCH = 64
EPOCHS = (4, 4)
"""How many epochs dense, and how many more for every variant."""
START = "start"
"""The dense network that the variants go on from."""


def gradual(sparsity: float) -> dict[str, Any]:
    """Return a policy that prunes from the first update on until three fifths of the training."""
    schedule = {
        "kind": "polynomial",
        "final_sparsity": sparsity,
        "begin_step": 0,
        "end_step": "60%",
        "frequency": 25,
    }
    return {"schedule": schedule, "rules": RULES}


def at_once(sparsity: float, **more: Any) -> dict[str, Any]:
    """Return a policy that prunes before the first update."""
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    return {"schedule": schedule, "rules": [RULES[0], {**RULES[1], **more}]}


POLICIES: dict[str, Any] = {
    "dense": None,
    "gradual, 80 %": gradual(0.8),
    "gradual, 85 %": gradual(0.85),
    "gradual, 90 %": gradual(0.9),
    "one shot, 80 %": at_once(0.8),
    "random masks, 80 %": at_once(0.8, criterion="random"),
    "smaller dense, 80 %": None,
    "dense, longer": None,
    "gradual, 80 %, longer": gradual(0.8),
}
"""Every variant, and its policy."""
LONGER = {"dense, longer": 12, "gradual, 80 %, longer": 12}
"""How many epochs more than the start, where they are not those of `EPOCHS`."""
SHAPES = {"smaller dense, 80 %": replace(SMALL, units=29)}
"""Networks of another size: this one has about as many weights as stay at 80 %."""
