"""The same policy on the same weights gives the same masks, bit for bit, everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import secateur
from tests.parity.flax_twins import has_flax_twin
from tests.parity.policies import cases
from tests.parity.twins import TWINS
from tests.parity.worker import Pruner

if TYPE_CHECKING:
    from tests.parity.conftest import Worker

pytestmark = pytest.mark.slow
REFERENCE, TORCH, FLAX = Pruner("numpy"), Pruner("torch"), Pruner("flax")


@pytest.mark.parametrize("name", TWINS)
def test_twins_are_the_same_function(name: str, workers: dict[str, Worker]) -> None:
    case = {"twin": name, "seed": 1, "levels": 0, "outputs": True}
    expected = np.array(TORCH.outputs(case))
    for worker in workers.values():
        worker.send(case)
    for backend, worker in workers.items():
        np.testing.assert_allclose(worker.receive(), expected, atol=2e-5, err_msg=backend)


@settings(
    max_examples=3 * settings().max_examples,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(case=cases())
def test_no_mask_bit_differs_between_frameworks(
    case: dict[str, Any], workers: dict[str, Worker]
) -> None:
    for worker in workers.values():
        worker.send(case)
    expected = REFERENCE.masks(case)
    found = {"PyTorch": TORCH.masks(case)}
    if has_flax_twin(TWINS[case["twin"]]):
        found["Flax"] = FLAX.masks(case)
    found |= {f"Keras on {backend}": worker.receive() for backend, worker in workers.items()}
    for framework, masks in found.items():
        assert masks == expected, _replay(case, framework, masks, expected)


def _replay(
    case: dict[str, Any], framework: str, masks: dict[str, str], expected: dict[str, str]
) -> str:
    """Write the counter-example as a policy file, and say how to replay it."""
    path = Path("parity-counter-example.toml")
    secateur.Policy.parse(case["policy"]).dump(path)
    differing = [name for name in {*masks, *expected} if masks.get(name) != expected.get(name)]
    return (
        f"{framework} differs from the reference in {', '.join(sorted(differing))}; replay with\n"
        f"python -m tests.parity.replay {path} --twin {case['twin']} --seed {case['seed']} "
        f"--levels {case['levels']}"
    )
