"""secateur.verify: what pruning wrote holds, and every way of not obeying a policy is found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.errors import ModelError, PolicyError, StateError
from secateur.run.saved.state import load
from tests.nets import kept_runs

PATTERNS = (
    {"kind": "unstructured"},
    {"kind": "block", "out": 4, "in": 2},
    {"kind": "channel"},
    {"kind": "channel", "axis": "in"},
    {"kind": "n_m", "keep": 2, "of": 4},
    {"kind": "n_m", "keep": 1, "of": 3},
)


def one_shot(sparsity: float = 0.5, **settings: object) -> dict[str, object]:
    return {"schedule": {"kind": "one_shot", "final_sparsity": sparsity}, **settings}


HALF = {"kind": "one_shot", "final_sparsity": 0.5}


def weights(*shapes: tuple[int, ...], seed: int = 0) -> dict[str, np.ndarray]:
    chance = np.random.default_rng(seed)
    return {f"w{n}": chance.normal(size=s).astype("f") for n, s in enumerate(shapes or [(8, 12)])}


def wrong(model: object, policy: object, **options: object) -> str:
    """Return what is wrong, in words; nothing where the policy is obeyed."""
    found = secateur.verify(model, policy, **options)
    texts = [*found.problems, *(p for weight in found.weights for p in weight.problems)]
    assert found.holds == (not texts)
    return "; ".join(texts)


@given(
    shapes=st.lists(st.tuples(st.integers(1, 12), st.integers(1, 14)), min_size=1, max_size=3),
    pattern=st.sampled_from(PATTERNS),
    distribution=st.sampled_from(["uniform", "global", "erk", "lamp"]),
    sparsity=st.sampled_from([0.0, 0.3, 0.5, 0.75, 0.9, 1.0]),
    seed=st.integers(0, 99),
)
def test_what_prune_wrote_obeys_the_policy_and_one_more_weight_does_not(
    shapes, pattern, distribution, sparsity, seed
):
    policy = {"pattern": pattern, "distribution": distribution}
    if pattern["kind"] == "n_m":
        policy = {"pattern": pattern}
        sparsity = 1 - pattern["keep"] / pattern["of"]
    policy = one_shot(sparsity, **policy)
    model = weights(*shapes, seed=seed)
    masks = secateur.prune(model, policy).masks
    assert not wrong(model, policy)
    assert not wrong(model, policy, masks=masks)
    zeros = [(name, at) for name, w in model.items() for at in np.argwhere(w == 0)]
    if zeros:
        name, at = zeros[seed % len(zeros)]
        model[name][tuple(at)] = 1
        assert wrong(model, policy)
        assert (
            f"not zero where the mask of the mapping prunes: 1, the first at {tuple(map(int, at))}"
            in wrong(model, policy, masks=masks)
        )


@pytest.mark.parametrize(
    ("policy", "found", "words"),
    [
        (one_shot(), 0.6, "too many zero weights, by 10"),
        (one_shot(), 0.4, "too few zero weights, by 10"),
        (one_shot(distribution="global"), 0.75, "of all 1: 72 zero, 48 asked, too many by 24"),
        (one_shot(pattern={"kind": "block", "out": 2, "in": 2}), 0.5, "; zeros in others: "),
        (one_shot(pattern={"kind": "channel"}), 0.5, "too few zero channels, by 4"),
        (one_shot(pattern=PATTERNS[4]), 0.5, "beyond those that the pattern keeps are not zero"),
        ({**one_shot(), "rules": [{"prune": False}]}, 0.5, "a weight that stays dense: 48"),
    ],
)
def test_what_was_pruned_otherwise_is_found(policy, found, words):
    model = weights()
    secateur.prune(model, one_shot(found))
    assert words in wrong(model, policy)


def test_zeros_by_nature_are_told_from_pruning_by_their_number_or_by_masks():
    row = weights((200, 8), (200, 8))
    row["w0"][3] = 0  # a padding row
    dense_and_nm = {
        "rules": [
            {"match": {"name": "w0"}, "prune": False},
            one_shot(pattern={"kind": "n_m", "keep": 2, "of": 4}),
        ]
    }
    row["w1"][5] = 0
    masks = secateur.prune(row, dense_and_nm).masks
    found = secateur.verify(row, dense_and_nm)
    assert found.holds
    assert "8 zeros in weights that stay dense: w0" in found.notes
    row["w1"][6:20] = row["w0"][6:20] = 0
    assert "zeros beyond those that the pattern asks: 60" in wrong(
        row, dense_and_nm
    )  # 15 rows of 4
    assert "zeros in a weight that stays dense: 120" in wrong(row, dense_and_nm)
    assert not wrong(row, dense_and_nm, extra_zeros=0.08)
    proven = secateur.verify(row, dense_and_nm, masks=masks)
    assert "60 values that the masks keep are zero all the same: w1" in proven.notes
    assert [weight.holds for weight in proven.weights] == [False, True]


def test_negative_zeros_are_said_and_nan_is_wrong_where_pruning_would_refuse_it():
    model = weights((8, 12), (8, 12))
    policy = {"rules": [{"match": {"name": "w1"}, "prune": False}, one_shot()]}
    secateur.prune(model, policy)
    model["w0"][model["w0"] == 0] = -0.0
    model["w1"][2, 3] = np.inf
    found = secateur.verify(model, policy)
    assert found.holds
    assert "48 zeros are -0.0, and pruning writes +0.0: w0" in found.notes
    assert "NaN or infinite values in weights that are not pruned: w1" in found.notes
    kept = tuple(np.argwhere(model["w0"] != 0)[0])
    model["w0"][kept] = np.nan
    assert f"NaN or infinite values: 1, the first at {tuple(map(int, kept))}" in wrong(
        model, policy
    )


def test_every_step_of_a_run_is_verified_by_its_number_and_by_its_state(tmp_path):
    policy = {
        "schedule": {"kind": "polynomial", "final_sparsity": 0.8, "begin_step": "25%",
                     "end_step": "75%", "frequency": 3},
        "distribution": "global",
    }  # fmt: skip
    model = weights((8, 12), (6, 5))
    pruner = secateur.attach(model, policy, total_steps=20)
    chance = np.random.default_rng(1)
    for step in range(1, 21):
        for values in model.values():
            values += chance.normal(size=values.shape).astype("f")
        pruner.step()
        pruner.save(tmp_path / "state.npz")
        assert not wrong(model, policy, at=step, total_steps=20)
        assert not wrong(model, policy, state=tmp_path / "state.npz", total_steps=20)
    assert not wrong(model, policy, state=pruner.state_dict(), total_steps=20)
    assert not wrong(model, policy)
    assert "too many" in wrong(model, policy, at=10, total_steps=20)
    with pytest.raises(StateError, match="was saved at step 20, not 10"):
        secateur.verify(model, policy, state=tmp_path / "state.npz", at=10, total_steps=20)
    with pytest.raises(StateError, match="step 21 is beyond the end of a run of 20 updates"):
        secateur.verify(model, policy, at=21, total_steps=20)
    with pytest.raises(PolicyError, match="total_steps"):
        secateur.verify(model, policy, at=10)


@pytest.mark.parametrize("part", [{"criterion": "set"}, {"schedule": "ac_dc"}])
def test_weights_that_came_back_at_this_step_are_no_fault_and_said(part):
    schedule = {"kind": part.get("schedule", "constant"), "final_sparsity": 0.5, "end_step": 9,
                "begin_step": 2, "frequency": 2}  # fmt: skip
    policy = {"schedule": schedule, "criterion": part.get("criterion", "magnitude")}
    model = weights((16, 12))
    pruner = secateur.attach(model, policy)
    for step in range(1, 6):
        for values in model.values():
            values += 0.1
        pruner.step()
        found = secateur.verify(model, policy, at=step)
        assert found.holds, (step, found)
        assert any("come back" in note for note in found.notes) is (step == 4)


def test_a_threshold_below_every_weight_is_obeyed_by_a_file_without_zeros():
    rule = {"distribution": {"kind": "threshold", "value": 0.01}}
    policy = {"schedule": HALF, **rule}
    model = {"fc": np.full((4, 4), 0.5)}
    assert not wrong(model, policy)
    assert secateur.verify(model, policy, masks=secateur.prune(model, policy).masks).holds
    model["fc"][1, 2] = 0.009
    assert "no weight has a zero" in wrong(model, policy)


def test_quantized_weights_are_not_silently_left_out(tmp_path):
    arrays = {"a.weight": np.eye(2) + 1, "b.weight": np.ones((2, 2), np.int8)}
    arrays["a.weight"][0] = 0
    np.savez(tmp_path / "model.npz", **arrays)
    found = secateur.verify(tmp_path / "model.npz", {"schedule": HALF})
    assert found.holds
    assert "quantized, so not verified: b.weight" in found.notes


def test_a_schedule_that_waited_is_verified_by_the_state_alone():
    policy = {"schedule": {"kind": "linear", "final_sparsity": 0.5, "end_step": 20, "frequency": 1,
                           "begin_when": {"monitor": "loss", "window": 1}}}  # fmt: skip
    model = weights()
    pruner = secateur.attach(model, policy)
    for _ in range(9):
        pruner.step()
        assert not wrong(model, policy, state=pruner.state_dict())
        pruner.observe(loss=1.0)
    assert 0 < pruner.report().sparsity < 0.5
    with pytest.raises(PolicyError, match=r"rule 1 begins when loss converges, and only the saved"):
        secateur.verify(model, policy, at=9)


def test_masks_of_another_policy_model_or_form_are_wrong(tmp_path):
    model = weights()
    masks = dict(secateur.prune(model, one_shot()).masks)
    assert "the mapping has no mask for it" in wrong(model, one_shot(), masks={})
    assert "has a mask of shape (2, 2) for (8, 12)" in wrong(
        model, one_shot(), masks={"w0": np.ones((2, 2), bool)}
    )
    assert "has masks of no weight here: head" in wrong(
        model, one_shot(), masks={**masks, "head": masks["w0"]}
    )
    model["w1"] = np.ones((2, 2))
    policy = {"rules": [{"match": {"name": "w1"}, "prune": False}, one_shot()]}
    assert "prunes it, and it stays dense" in wrong(
        model, policy, masks={**masks, "w1": np.zeros((2, 2), bool)}
    )
    model.pop("w1")
    np.savez(tmp_path / "bools.npz", **masks)
    assert not wrong(model, one_shot(), masks=tmp_path / "bools.npz")
    np.savez(tmp_path / "floats.npz", w0=model["w0"])
    with pytest.raises(StateError, match="w0 is float32, and a mask is bool"):
        secateur.verify(model, one_shot(), masks=tmp_path / "floats.npz")
    pruner = secateur.attach(weights(), one_shot())
    pruner.save(tmp_path / "state.npz")
    named = wrong(weights(), one_shot(0.6), masks=tmp_path / "state.npz")
    assert f"state.npz is of policy '{pruner.plan.policy.fingerprint[:12]}', and this is" in named


def test_a_mask_that_is_not_as_the_policy_asks_is_wrong_though_the_zeros_fit_it():
    model = weights()
    masks = secateur.prune(model, one_shot(0.25)).masks
    assert "the mask of the mapping: too few zero weights, by 24" in wrong(
        model, one_shot(), masks=masks
    )
    both = weights((8, 12), (8, 12))
    masks = secateur.prune(both, one_shot(0.25, distribution="global")).masks
    assert "the masks of the mapping: rule 1, weights of all 2: 48 zero, 96 asked" in wrong(
        both, one_shot(distribution="global"), masks=masks
    )


def test_a_state_of_the_first_release_proves_its_run_and_one_of_now_says_who_made_it(tmp_path):
    network = kept_runs.ArrayNetwork()
    pruner = kept_runs.attach(network)
    pruner.load(kept_runs.FOLDER / "array.npz")
    found = secateur.verify(
        network.model,
        pruner.plan.policy,
        state=kept_runs.FOLDER / "array.npz",
        total_steps=kept_runs.TOTAL,
    )
    assert found.holds, str(found)
    assert found.step == kept_runs.SAVED_AT
    pruner.save(tmp_path / "now.npz")
    about = load(tmp_path / "now.npz").about
    assert about["fingerprint"] == found.fingerprint
    assert secateur.Policy.parse(about["policy"]).fingerprint == found.fingerprint
    assert about["versions"]["secateur"] == secateur.__version__ == found.versions["secateur"]
    assert pruner.report().to_dict()["versions"] == about["versions"]


def test_what_is_wrong_is_listed_in_bounded_length_and_whole_when_asked():
    model = weights(*[(4, 4)] * 30)
    found = secateur.verify(model, one_shot())
    assert "and 10 more" in str(found)
    assert "w29" not in str(found)
    assert "w29" in found.to_text(fold=False)
    assert "does not hold: 30 of 30 weights" in str(found)


@pytest.mark.parametrize("extra", [-0.1, 2, True, "1%"])
def test_a_fraction_of_extra_zeros_is_a_fraction(extra):
    with pytest.raises(PolicyError, match="wanted a fraction from 0 to 1"):
        secateur.verify(weights(), one_shot(), extra_zeros=extra)


def test_a_policy_of_no_weight_of_the_file_and_a_missing_file_are_refused(tmp_path):
    np.savez(tmp_path / "m.npz", **weights())
    with pytest.raises(PolicyError, match="matches no weight of this numpy model"):
        secateur.verify(tmp_path / "m.npz", {"rules": [{"match": {"kind": "rnn"}, **one_shot()}]})
    with pytest.raises(ModelError, match="no such file"):
        secateur.verify(Path("missing.npz"), one_shot())
