"""The same policy on the same weights gives the same masks, bit for bit, everywhere."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import secateur
from tests.parity.flax_twins import has_flax_twin
from tests.parity.policies import cases, patterns
from tests.parity.twins import TWINS
from tests.parity.worker import Pruner

if TYPE_CHECKING:
    from tests.parity.conftest import Worker

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("parity"),
    pytest.mark.filterwarnings("ignore::secateur.PolicyWarning"),  # policies are drawn at random
]
HALF = {"kind": "one_shot", "final_sparsity": 0.5}
REFERENCE, TORCH, FLAX = Pruner("numpy"), Pruner("torch"), Pruner("flax")


@pytest.mark.parametrize("name", TWINS)
def test_twins_are_the_same_function(name: str, workers: dict[str, Worker]) -> None:
    case = {"twin": name, "seed": 1, "levels": 0, "outputs": True}
    expected = np.array(TORCH.outputs(case))
    for worker in workers.values():
        worker.send(case)
    for backend, worker in workers.items():
        np.testing.assert_allclose(worker.receive(), expected, atol=2e-5, err_msg=backend)


@pytest.mark.filterwarnings("ignore::secateur.errors.ScheduleWarning")  # some schedules end at 0
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
    _assert_equal(case, workers)


def _assert_equal(case: dict[str, Any], workers: dict[str, Worker]) -> None:
    """Fail unless every framework has the masks of the reference; the workers have the case."""
    try:
        expected = REFERENCE.answer(case)
        found = {"PyTorch": TORCH.answer(case)}
        if has_flax_twin(TWINS[case["twin"]]):
            found["Flax"] = FLAX.answer(case)
    finally:  # or the next case would get the answers to this one
        answers = {f"Keras on {backend}": worker.receive() for backend, worker in workers.items()}
    for framework, masks in {**found, **answers}.items():
        assert masks == expected, _replay(case, framework, masks, expected)


WATCHING = [
    ("mnist-cnn", 0, "gradient_magnitude", "unstructured", "global"),
    ("lstm", 2, "saliency", {"kind": "block", "out": 2, "in": 2}, "erk"),
    ("attention", 0, {"kind": "saliency", "decay": 0.7}, "unstructured", "lamp"),
    ("gru", 0, "movement", {"kind": "channel", "axis": "out"}, "uniform"),
    ("branched", 2, "movement", "unstructured", "global"),
    ("conv2d-transpose", 0, "fisher", {"kind": "n_m", "keep": 2, "of": 4}, "uniform"),
]


@pytest.mark.filterwarnings("ignore:sparser already:secateur.StateWarning")  # levels have zeros
@pytest.mark.parametrize(("twin", "levels", "criterion", "pattern", "distribution"), WATCHING)
def test_equal_gradients_give_equal_masks_by_criteria_that_watch_training(
    twin: str,
    levels: int,
    criterion: Any,
    pattern: Any,
    distribution: str,
    workers: dict[str, Worker],
) -> None:
    schedule = {"kind": "constant", "final_sparsity": 0.5, "begin_step": 2, "end_step": 3}
    policy = {"criterion": criterion, "pattern": pattern, "distribution": distribution}
    policy |= {"schedule": {**schedule, "frequency": 1}}
    case = {"twin": twin, "seed": 5, "levels": levels, "updates": 3, "policy": policy}
    for worker in workers.values():
        worker.send(case)
    _assert_equal(case, workers)


_TO_THE_END = {"kind": "constant", "final_sparsity": 0.8, "end_step": 6, "frequency": 1}
_IN_PHASES = {"kind": "ac_dc", "final_sparsity": 0.75, "begin_step": 1, "end_step": 4}
REGROWING: list[tuple[str, int, dict[str, Any]]] = [
    ("mnist-cnn", 0, {"criterion": "rigl", "distribution": "erk", "schedule": _TO_THE_END}),
    ("attention", 4, {"criterion": "rigl", "distribution": "global", "schedule": _TO_THE_END}),
    (
        "gru",
        0,
        {
            "criterion": {"kind": "rigl", "fraction": 0.9, "initial": "magnitude"},
            "pattern": {"kind": "block", "out": 2, "in": 2},
            "schedule": _TO_THE_END,
        },
    ),
    ("branched", 0, {"criterion": "set", "distribution": "erk", "schedule": _TO_THE_END}),
    ("lstm", 2, {"criterion": "set", "distribution": "lamp", "schedule": _TO_THE_END}),
    ("conv2d-transpose", 0, {"schedule": {**_IN_PHASES, "frequency": 1}, "distribution": "erk"}),
]


@pytest.mark.filterwarnings("ignore:sparser already:secateur.StateWarning")
@pytest.mark.filterwarnings("ignore:rule 1. the schedule has come:secateur.ScheduleWarning")
@pytest.mark.parametrize(("twin", "levels", "policy"), REGROWING)
@pytest.mark.parametrize("updates", [3, 5])
def test_equal_gradients_make_equal_weights_go_and_come(
    twin: str, levels: int, policy: dict[str, Any], updates: int, workers: dict[str, Worker]
) -> None:
    case = {"twin": twin, "seed": 5, "levels": levels, "updates": updates, "policy": policy}
    for worker in workers.values():
        worker.send(case)
    _assert_equal(case, workers)


BRANCHED = [name for name, twin in TWINS.items() if twin.registered]


@pytest.mark.parametrize("name", BRANCHED)
def test_branched_twins_list_their_weights_in_another_order(name: str) -> None:
    case = {"twin": name, "seed": 1, "levels": 2, "policy": {"schedule": HALF}}
    in_torch, in_order = TORCH.masks(case), REFERENCE.masks(case)
    assert list(in_torch) != list(in_order)
    assert in_torch == in_order


@settings(
    max_examples=3 * settings().max_examples,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    name=st.sampled_from(BRANCHED),
    seed=st.integers(0, 2**32 - 1),
    levels=st.integers(1, 3),
    distribution=st.sampled_from(["global", "lamp"]),
    pattern=patterns,
    sparsity=st.floats(0.02, 0.98).map(lambda value: round(value, 4)),
)
def test_ties_between_weights_are_broken_alike_whatever_their_order(
    workers: dict[str, Worker], name: str, seed: int, levels: int, sparsity: float, **rule: Any
) -> None:
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    policy = {"schedule": schedule, "rules": [{"match": {}, **rule}]}
    case = {"twin": name, "seed": seed, "levels": levels, "policy": policy}
    for worker in workers.values():
        worker.send(case)
    _assert_equal(case, workers)


def test_the_layers_of_a_sorted_file_get_the_masks_of_the_live_model(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    for name, seed, distribution in product(BRANCHED, range(20), ("global", "lamp")):
        twin = TWINS[name]
        tensors = {
            f"{layer}.weight": array
            for layer, roles in twin.weights(seed, levels=2).items()
            for array in roles.values()
        }
        save_file(tensors, tmp_path / "twin.safetensors")
        policy = {"schedule": HALF, "rules": [{"match": {}, "distribution": distribution}]}
        case = {"twin": name, "seed": seed, "levels": 2, "policy": policy}
        in_file = secateur.prune(load_file(tmp_path / "twin.safetensors"), policy).masks
        packed = {name: np.packbits(mask).tobytes().hex() for name, mask in in_file.items()}
        assert {n.replace(".weight", ":kernel"): mask for n, mask in packed.items()} == (
            TORCH.masks(case)
        )


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
