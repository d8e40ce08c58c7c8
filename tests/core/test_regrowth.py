"""Dynamic sparse training: who goes, who comes, and how many there are at every step."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.adapter import SINGLE
from secateur.components.criteria import Movement, Random
from secateur.masks.gradients import Gradients
from secateur.masks.regrowth import regrown
from secateur.selection.context import Context
from tests.core.test_sharded import PATTERNS, assemble, model, on_workers, shares

END = 8


def policy(kind, schedule=None, **settings):
    steps = {"kind": "constant", "final_sparsity": 0.75, "end_step": END, "frequency": 2}
    return {"criterion": {"kind": kind}, "schedule": {**steps, **(schedule or {})}, **settings}


def ranked(scores, allowed, count):
    """Return the `count` highest of what is allowed; of equals the lower index. The slow way."""
    order = sorted(np.flatnonzero(allowed), key=lambda index: (-scores[index], index))
    mask = np.zeros(allowed.size, bool)
    mask[order[:count]] = True
    return mask


def chance(name, step, size):
    context = Context(name, step, lambda: np.arange(size), lambda: None)
    return Random().score(np.zeros(size), context)


def share(kind, step):
    if kind == "set":
        return 0.3 if step < END else 0.0
    return 0.3 / 2 * (1 + math.cos(math.pi * step / END))


@pytest.mark.filterwarnings("ignore:.*none ever moves:secateur.ScheduleWarning")
@given(
    st.sampled_from(["rigl", "set"]),
    st.integers(0, 2**32),
    st.sampled_from([np.float16, np.float32, np.float64]),
    st.lists(st.tuples(st.integers(1, 7), st.integers(1, 9)), min_size=1, max_size=3),
    st.sampled_from(["uniform", "erk", "global"]),
    st.sampled_from([0.0, 0.3, 0.75, 1.0]),
)
def test_masks_are_those_of_the_slow_way(kind, seed, dtype, shapes, distribution, sparsity):
    rng = np.random.default_rng(seed)
    weights = {f"w{n}": rng.normal(size=shape).astype(dtype) for n, shape in enumerate(shapes)}
    pruner = secateur.attach(
        weights, policy(kind, {"final_sparsity": sparsity}, distribution=distribution)
    )
    counts = {name: int(mask.sum()) for name, mask in pruner.masks.items()}
    for step in range(1, END + 3):
        before = {name: mask.reshape(-1) for name, mask in pruner.masks.items()}
        for weight in weights.values():
            weight[...] = rng.integers(-3, 4, weight.shape)  # many ties, and zeros
        gradients = {n: rng.integers(-3, 4, w.shape).astype(dtype) for n, w in weights.items()}
        values = {
            name: np.where(before[name], weight.reshape(-1), 0).astype(dtype)
            for name, weight in weights.items()
        }
        pruner.step(gradients=gradients)
        found = {name: mask.reshape(-1) for name, mask in pruner.masks.items()}
        assert sum(map(np.count_nonzero, found.values())) == sum(counts.values())
        for name, weight in weights.items():
            came = found[name] & ~before[name]
            bits = weight.reshape(-1).view(f"u{weight.itemsize}")
            assert not bits[came | ~found[name]].any()
            np.testing.assert_array_equal(
                weight.reshape(-1)[~came & found[name]], values[name][~came & found[name]]
            )
            if step % 2 or step > END:
                assert not came.any()
        if distribution == "global" or step % 2 or step > END:
            continue
        for name, mask in found.items():
            count = int(before[name].sum())
            moved = round(Fraction(share(kind, step)) * count)
            stay = ranked(np.abs(values[name].astype(float)), before[name], count - moved)
            scores = (
                np.abs(gradients[name].reshape(-1).astype(float))
                if kind == "rigl"
                else chance(name, step, mask.size)
            )
            np.testing.assert_array_equal(mask, stay | ranked(scores, ~stay, moved))
    pruner.detach()


@pytest.mark.parametrize("kind", ["rigl", "set"])
@pytest.mark.parametrize(
    "pattern",
    [{"kind": "block", "out": 2, "in": 3}, {"kind": "channel", "axis": "in"}],
    ids=["block", "channel"],
)
def test_whole_groups_go_and_come(kind, pattern):
    rng = np.random.default_rng(0)
    weights = {"fc": rng.normal(size=(7, 12)).astype(np.float32)}
    asked = policy(kind, {"final_sparsity": 0.5}, pattern=pattern)
    pruner = secateur.attach(weights, asked)
    seen = set()
    for _ in range(END):
        weights["fc"] += rng.normal(size=(7, 12)).astype(np.float32)
        pruner.step(gradients={"fc": rng.normal(size=(7, 12)).astype(np.float32)})
        mask = pruner.masks["fc"]
        seen.add(mask.tobytes())
        if pattern["kind"] == "channel":
            assert (mask == mask[:1]).all()
            assert mask[0].sum() == 6
        else:
            tiles = [mask[r : r + 2, c : c + 3] for r in range(0, 7, 2) for c in range(0, 12, 3)]
            assert all(tile.all() or not tile.any() for tile in tiles)
            assert sum(tile.all() for tile in tiles) == 8
    assert len(seen) > 1
    assert not pruner.report().notes


def run(weights, pruner, upto):
    while pruner.current_step < upto:
        rng = np.random.default_rng(pruner.current_step)
        weights["fc"] += rng.normal(size=(6, 8)).astype(np.float32)
        pruner.step(gradients={"fc": rng.normal(size=(6, 8)).astype(np.float32)})


@pytest.mark.parametrize("kind", ["rigl", "set"])
@pytest.mark.parametrize("at", [0, 3, 4])
def test_a_resumed_run_has_the_same_bits(kind, at, tmp_path):
    first = {"fc": np.random.default_rng(9).normal(size=(6, 8)).astype(np.float32)}
    pruner = secateur.attach(first, policy(kind))
    run(first, pruner, at)
    pruner.save(tmp_path / "state.npz")
    again = {"fc": first["fc"].copy()}
    run(first, pruner, END)
    resumed = secateur.attach(again, policy(kind))
    resumed.load(tmp_path / "state.npz")
    run(again, resumed, END)
    np.testing.assert_array_equal(first["fc"].view(np.uint32), again["fc"].view(np.uint32))
    np.testing.assert_array_equal(pruner.masks["fc"], resumed.masks["fc"])
    assert secateur.verify(first, policy(kind)).holds


def test_a_target_that_grows_or_falls_is_met_at_every_update():
    points = {"kind": "polynomial", "initial_sparsity": 0.25, "final_sparsity": 0.75}
    for first, last in ((0.25, 0.75), (0.75, 0.25)):
        schedule = {**points, "initial_sparsity": first, "final_sparsity": last}
        weights = {"fc": np.random.default_rng(9).normal(size=(6, 8)).astype(np.float32)}
        pruner = secateur.attach(weights, policy("rigl", schedule))
        for step in range(1, END + 1):
            run(weights, pruner, step)
            at = step - step % 2
            wanted = round(48 * (1 - pruner.plan.policy.schedule.sparsity(at)))
            assert np.count_nonzero(pruner.masks["fc"]) == wanted


def test_an_update_that_fails_leaves_all_as_it_was_and_is_made_up():
    weights = {"fc": np.random.default_rng(9).normal(size=(6, 8)).astype(np.float32)}
    pruner = secateur.attach(weights, policy("rigl"))
    run(weights, pruner, 1)
    before, mask = weights["fc"].copy(), pruner.masks["fc"]
    bad = np.full((6, 8), np.nan, np.float32)
    with pytest.raises(secateur.WeightError, match="gradient"):
        pruner.step(gradients={"fc": bad})
    np.testing.assert_array_equal(weights["fc"], before)
    np.testing.assert_array_equal(pruner.masks["fc"], mask)
    assert not pruner.revived
    pruner.step(0, gradients={"fc": np.ones((6, 8), np.float32)})
    assert pruner.revived["fc"].any()


@pytest.mark.parametrize("pattern", ["unstructured", "block 3x2 max", "channel in"])
@pytest.mark.parametrize("distribution", ["erk", "global"])
def test_shards_go_and_come_as_the_whole(pattern, distribution):
    rng = np.random.default_rng(0)
    settings = policy("rigl", distribution=distribution, pattern=PATTERNS[pattern])
    method = secateur.Policy.parse(settings).resolved_rules[0].method
    weights = model(rng, np.float32, 3)
    specs = [weight.spec for weight in weights]
    given = {s.name: rng.integers(-3, 4, s.shape).astype(np.float32) for s in specs}
    dealt = shares(rng, weights, 3, "wildly")

    def moved(held, workers, gradients):
        masks = regrown(method, held, 0.75, 0, {}, workers, Gradients(), {})
        return regrown(method, held, 0.75, 3, masks, workers, Gradients(held, gradients), {})

    def work(workers):
        held = dealt[workers.rank]
        mine = {
            each.spec.name: given[each.spec.name].reshape(-1)[each.everywhere()] for each in held
        }
        return moved(held, workers, mine)

    found = assemble(specs, dealt, on_workers(3, work))
    for name, mask in moved(weights, SINGLE, given).items():
        np.testing.assert_array_equal(found[name], mask)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"schedule": {"end_step": -1}}, "end_step"),
        ({"schedule": {"kind": "one_shot", "end_step": None, "frequency": None}}, "one_shot"),
        ({"schedule": {"kind": "ac_dc", "begin_step": 1}}, "ac_dc"),
        ({"pattern": {"kind": "n_m", "keep": 2, "of": 4}}, "n_m"),
        ({"distribution": {"kind": "threshold", "value": 0.1}}, "threshold"),
        ({"criterion": {"kind": "rigl", "initial": "chance"}}, "'random' or 'magnitude'"),
    ],
    ids=["no end", "one_shot", "ac_dc", "n_m", "threshold", "initial"],
)
def test_what_does_not_go_together_is_refused_before_anything_runs(settings, message):
    schedule = {
        k: v
        for k, v in {**policy("rigl")["schedule"], **settings.pop("schedule", {})}.items()
        if v is not None
    }
    with pytest.raises(secateur.PolicyError, match=message):
        secateur.Policy.parse({**policy("rigl"), **settings, "schedule": schedule})


def test_a_plan_says_that_too_few_are_kept_for_any_to_move():
    sparse = policy("rigl", {"final_sparsity": 0.97})
    with pytest.warns(secateur.ScheduleWarning, match="1 of them at most, so that none ever moves"):
        secateur.plan({"fc": np.ones((4, 8))}, sparse)
    assert not secateur.plan({"fc": np.ones((4, 8)), "wide": np.ones((9, 9))}, sparse).notes


def test_one_go_has_no_updates_to_move_weights_at():
    weights = {"fc": np.ones((4, 4))}
    with pytest.raises(secateur.PolicyError, match=r"secateur\.attach"):
        secateur.prune(weights, policy("set"))
    assert weights["fc"].all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grow": secateur.GradientMagnitude()}, "needs = {'gradient'}"),
        ({"drop": Movement(), "needs": {"gradient"}}, r"memory\['sum'\]"),
        ({"grow": "random"}, "wanted a criterion"),
    ],
    ids=["gradient", "memory", "none"],
)
def test_what_a_part_of_a_criterion_needs_must_stand_in_the_criterion(settings, message):
    parts = {"grow": secateur.Random(), **settings}
    members = {name: property(lambda self, part=part: part) for name, part in parts.items()}
    members |= {"kind": "made_of_parts", "fraction_at": lambda self, step, end: 0.1}
    members |= {"needs": parts.get("needs", set()), "__module__": __name__}
    criterion = type("MadeOfParts", (secateur.Regrowth,), members)
    with pytest.raises(secateur.PolicyError, match=message):
        secateur.Policy.parse({**policy("set"), "criterion": criterion()})
