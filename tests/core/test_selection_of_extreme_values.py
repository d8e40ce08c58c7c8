"""Float64 weights whose squares or sums leave the range of float64 are ranked right as well."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import reference
from compute import masks_of, method
from test_sharded import WAYS, Whole, assemble, bring_together, on_workers, shares

import secateur
from secateur.adapter import WeightSpec
from secateur.components.criteria import Criterion
from secateur.components.distributions import Uniform
from secateur.components.method import Method
from secateur.components.patterns import Block, Channel
from secateur.components.schedules import OneShot
from secateur.errors import WeightError
from secateur.masks import compute as masks
from secateur.selection import lamp, norms, tiles

CHANNEL = {"kind": "channel"}
CHANNEL_IN = {"kind": "channel", "axis": "in"}
BLOCK = {"kind": "block", "out": 4, "in": 4}
CASES = [
    (CHANNEL, "uniform"),
    (CHANNEL, "global"),
    (CHANNEL_IN, "lamp"),
    (BLOCK, "uniform"),
    (BLOCK, "global"),
    (BLOCK, "lamp"),
    ({"kind": "unstructured"}, "lamp"),
    ({"kind": "unstructured"}, "global"),
]
SHAPES = [(9, 14), (14, 5), (6, 30)]


def arrays(seed=0, top=1 << 20):
    chance = np.random.default_rng(seed)
    return [chance.integers(-top, top, shape).astype(np.float64) for shape in SHAPES]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("exponent", [-1000, -600, -530, 490, 520, 900, 998])
@pytest.mark.parametrize(("pattern", "distribution"), CASES)
def test_a_power_of_two_changes_no_mask(pattern, distribution, exponent):
    settings = {"pattern": pattern, "distribution": distribution}
    for sparsity in (0.2, 0.5, 0.8):
        usual = masks_of(arrays(), sparsity, **settings)
        scaled = [np.ldexp(array, exponent) for array in arrays()]
        for mask, wanted in zip(masks_of(scaled, sparsity, **settings), usual, strict=True):
            np.testing.assert_array_equal(mask, wanted)


@pytest.mark.sampled(13)
@pytest.mark.parametrize("at_once", [8, 1 << 15])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("exponent", [-700, 900])
@pytest.mark.parametrize(("pattern", "distribution"), CASES)
def test_shards_have_the_masks_of_the_whole(
    monkeypatch, pattern, distribution, exponent, way, at_once
):
    bring_together(monkeypatch, at_once)
    rng = np.random.default_rng(0)
    weights = [
        Whole(
            WeightSpec(f"w{number}", "dense", "kernel", array.shape, "float64", ""),
            np.ldexp(array, exponent),
        )
        for number, array in enumerate(arrays())
    ]
    weights[1].read()[3] = 0
    used = method(0.5, pattern=pattern, distribution=distribution)
    dealt = shares(rng, weights, 3, way)
    parts = on_workers(
        3, lambda workers: masks.compute(used, dealt[workers.rank], 0.5, 0, None, workers)
    )
    found = assemble([weight.spec for weight in weights], dealt, parts)
    for name, mask in masks.compute(used, weights, 0.5).items():
        np.testing.assert_array_equal(found[name], mask)


@pytest.mark.parametrize("pattern", [CHANNEL, CHANNEL_IN, BLOCK])
@pytest.mark.parametrize("order", ["C", "F"])
def test_scales_that_differ_from_group_to_group(pattern, order):
    chance = np.random.default_rng(1)
    weight = chance.integers(1, 1 << 20, (12, 16)).astype(np.float64)
    powers = chance.permutation(np.linspace(-1040, 980, weight.size).astype(int))
    weight = np.array(np.ldexp(weight, powers.reshape(weight.shape)), order=order)
    if pattern is BLOCK:
        groups = list(reference.tiles(weight.shape, "dense", 4, 4))
        score = lambda values: sum(values) / len(values)  # noqa: E731
    else:
        groups = reference.channels(weight, pattern.get("axis", "out"))
        score = lambda values: sum(value**2 for value in values)  # noqa: E731
    exact = [score([abs(Fraction(float(weight[p]))) for p in group]) for group in groups]
    for keep in range(len(groups) + 1):
        best = sorted(range(len(groups)), key=lambda number: -exact[number])[:keep]
        chosen = [number in best for number in range(len(groups))]
        (mask,) = masks_of([weight], 1 - keep / len(groups), pattern=pattern)
        np.testing.assert_array_equal(mask, reference.spread(weight, groups, chosen))


def test_usual_sums_keep_their_bits(monkeypatch):
    usual = masks_of(arrays(), 0.5, distribution="lamp", pattern=CHANNEL)
    for module, name in ((norms, "DOWN"), (norms, "UP"), (lamp, "SAFE"), (tiles, "SCALE")):
        monkeypatch.setattr(module, name, None)  # a use of it would fail
    for mask, wanted in zip(
        masks_of(arrays(), 0.5, distribution="lamp", pattern=CHANNEL), usual, strict=True
    ):
        np.testing.assert_array_equal(mask, wanted)


def test_means_of_the_largest_numbers_are_finite():
    weight = np.full((4, 10), np.finfo(np.float64).max)
    weight[:2, 5:] = 1e308
    (mask,) = masks_of([weight], 0.25, pattern={"kind": "block", "out": 2, "in": 5})
    np.testing.assert_array_equal(mask, weight > 1e308)


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("axis", ["out", "in"])
def test_a_norm_beyond_float64_is_an_error_on_all_workers(axis, count):
    array = np.ones((6, 8))
    array[1, :] = array[:, 2] = -np.finfo(np.float64).max
    weight = Whole(WeightSpec("w", "dense", "kernel", array.shape, "float64", ""), array)
    used = method(0.5, pattern={"kind": "channel", "axis": axis})
    dealt = shares(np.random.default_rng(0), [weight], 2, "by rows")

    def work(workers):
        with pytest.raises(WeightError, match="w: the L2 norm of a channel"):
            masks.compute(used, dealt[workers.rank], 0.5, 0, None, workers)

    if count:
        on_workers(count, work)
    else:
        with pytest.raises(WeightError, match="w: the L2 norm of a channel"):
            masks.compute(used, [weight], 0.5)


class Endless(Criterion):
    """Gives a score of infinity to what must stay."""

    kind = "endless_test"
    elementwise = True

    def score(self, weight, context):
        return np.where(weight > 5, np.inf, np.abs(weight)).astype(np.float64)


@pytest.mark.parametrize("pattern", [Channel(), Block(out=1, **{"in": 4})])
def test_scores_of_infinity_still_rank_first(pattern):
    array = np.ones((4, 4))
    array[2, 1] = 9
    weight = Whole(WeightSpec("w", "dense", "kernel", array.shape, "float64", ""), array)
    used = Method(OneShot(final_sparsity=0.5), Endless(), pattern, Uniform())
    (mask,) = masks.compute(used, [weight], 0.75).values()
    assert mask.any(axis=1).tolist() == [False, False, True, False]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("pattern", [{"kind": "unstructured"}, BLOCK, CHANNEL])
@pytest.mark.parametrize("way", ["passes it on", "fails over it", "warns", "hides it"])
def test_a_value_that_cannot_be_ranked_is_the_fault_of_the_weight(bad, sharded, pattern, way):
    class Elementwise(Criterion):
        kind = "elementwise_test"
        elementwise = True

        def score(self, weight, context):
            if way == "fails over it" and not np.isfinite(weight).all():
                raise ArithmeticError("out of tune")
            if way == "warns":
                return np.log2(np.abs(weight) - 0.5)
            return np.nan_to_num(weight) if way == "hides it" else weight * 2.0

    policy = secateur.Policy.parse(
        {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}, "pattern": pattern}
    )
    used = policy.resolved_rules[0].method
    used = Method(used.schedule, Elementwise(), used.pattern, used.distribution)
    array = np.arange(1.0, 49.0).reshape(6, 8)
    array[3, 2] = bad
    weight = Whole(WeightSpec("w", "dense", "kernel", array.shape, "float64", ""), array)
    if sharded:
        (held,) = shares(np.random.default_rng(0), [weight], 1, "flat")
    given = held if sharded else [weight]
    with pytest.raises(WeightError, match=r"w: the value at \(3, 2\) \(canonical\)"):
        masks.compute(used, given, 0.5)
