"""Nothing grows over ten thousand steps."""

from __future__ import annotations

import gc
import sys

import numpy as np
import pytest

import secateur

STEPS = 10_000
POLICIES = {
    "gradual": {
        "kind": "polynomial",
        "final_sparsity": 0.8,
        "end_step": STEPS - 1000,
        "frequency": 10,
    },
    "waiting": {
        "kind": "linear",
        "final_sparsity": 0.5,
        "end_step": STEPS,
        "frequency": 50,
        "begin_when": {"monitor": "loss", "window": 50, "latest": STEPS - 500},
    },
    "for ever": {"kind": "constant", "final_sparsity": 0.5, "frequency": 7},
}


@pytest.mark.parametrize("schedule", POLICIES.values(), ids=POLICIES)
def test_memory_is_flat_over_ten_thousand_steps(schedule: dict[str, object]) -> None:
    rng = np.random.default_rng(0)
    weights = {"a": rng.normal(size=(32, 32)), "b": rng.normal(size=(8, 8))}
    pruner = secateur.attach(weights, {"schedule": schedule})

    def run(steps: int) -> int:
        for step in range(steps):
            weights["a"] += 1e-4
            pruner.observe(loss=1.0 + (step % 97) / 97)
            pruner.step()
            if step % 500 == 0:
                assert pruner.report().step == pruner.current_step
                pruner.state_dict()
        gc.collect()
        return sys.getallocatedblocks()

    early = run(STEPS // 10)
    late = run(STEPS - STEPS // 10)
    assert pruner.current_step == STEPS
    assert late - early < STEPS // 20  # less than a twentieth of a block for each step
    pruner.detach()
