"""Patterns and distributions as plugin authors write them, on whole weights and on shards."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import reference
from test_sharded import WAYS, assemble, bring_together, model, on_workers, shares

import secateur
from secateur.components.criteria import Magnitude
from secateur.components.distributions import Distribution, Global, Uniform
from secateur.components.method import Method
from secateur.components.patterns import FixedPattern, Pattern
from secateur.components.schedules import OneShot
from secateur.errors import PluginError
from secateur.masks import compute as masks
from secateur.numpy_adapter import NumpyAdapter
from secateur.workers import SINGLE

SHAPES = {"fc": ("dense", (13, 10)), "conv": ("conv", (6, 5, 3, 3)), "rnn": ("rnn", (3, 5, 7))}


def method(pattern=None, distribution=None):
    return Method(
        OneShot(final_sparsity=0.5),
        Magnitude(),
        pattern or secateur.Policy.parse({"schedule": SCHEDULE}).resolved_rules[0].method.pattern,
        distribution or Uniform(),
    )


SCHEDULE = {"kind": "one_shot", "final_sparsity": 0.5}


class Tiles3x2(Pattern):
    """The largest of 3 x 2 tiles, written as an author would."""

    kind = "tiles_test"

    def extent(self, spec):
        kind = secateur.kind_named(spec.kind)
        sizes = {kind.out_axis: 3, kind.in_axis: 2}
        return [sizes.get(axis, 1) for axis in range(len(spec.shape))]

    def pool(self, scores, spec):
        assert scores.flags.c_contiguous
        assert scores.shape == spec.shape
        for axis, size in enumerate(self.extent(spec)):
            scores = np.maximum.reduceat(scores, range(0, scores.shape[axis], size), axis=axis)
        return scores


class Slices(Pattern):
    """Whole slices along the axis of the outputs, by their mean; the shape is the author's."""

    kind = "slices_test"
    keepdims: bool = False

    def extent(self, spec):
        out = secateur.kind_named(spec.kind).out_axis
        return tuple(1 if axis == out else None for axis in range(len(spec.shape)))

    def pool(self, scores, spec):
        out = secateur.kind_named(spec.kind).out_axis
        others = tuple(axis for axis in range(scores.ndim) if axis != out)
        return scores.max(axis=others, keepdims=self.keepdims)


class Everything(Pattern):
    """A weight is one group."""

    kind = "everything_test"

    def extent(self, spec):
        return [None] * len(spec.shape)

    def pool(self, scores, spec):
        return np.asarray(scores.max())


class FirstOfPair(FixedPattern):
    """The first of two neighbours along the inputs."""

    kind = "first_of_pair_test"

    @property
    def fixed_sparsity(self):
        return Fraction(1, 2)

    def extent(self, spec):
        inputs = secateur.kind_named(spec.kind).in_axis
        return [2 if axis == inputs else 1 for axis in range(len(spec.shape))]

    def select(self, elements):
        inputs = secateur.kind_named(elements.spec.kind).in_axis
        return np.indices(elements.shape)[inputs] % 2 == 0


class RelativeToLargest(Distribution):
    """One threshold on scores relative to the largest of their weight."""

    kind = "relative_test"
    compares_weights = True

    def select(self, groups, sparsity, workers):
        rescored = []
        for group in groups:
            scores = group.array().astype(np.float64)
            largest = workers.largest(np.array([scores.max(initial=0.0)]))[0]
            rescored.append(group.rescored(scores / (largest or 1.0)))
        keep = secateur.keep_count(sum(group.count for group in groups), sparsity)
        return secateur.select(rescored, keep, workers)


PATTERNS = [Tiles3x2(), Slices(), Slices(keepdims=True), Everything(), FirstOfPair()]


def naive(pattern, weight, kind, sparsity, alive=None):
    if isinstance(pattern, Tiles3x2):
        groups = list(reference.tiles(weight.shape, kind, 3, 2))
    elif isinstance(pattern, Slices):
        groups = reference.channels(weight, "out", kind)
    else:
        groups = [list(np.ndindex(weight.shape))]
    scores = [
        max(abs(float(weight[position])) for position in group)
        if alive is None or any(alive[position] for position in group)
        else -1.0
        for group in groups
    ]
    return reference.spread(
        weight, groups, reference.best(scores, reference.kept(len(groups), sparsity))
    )


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("pattern", PATTERNS[:4], ids=lambda pattern: pattern.kind)
@pytest.mark.parametrize("kind", ["dense", "conv", "rnn"])
def test_extent_and_pool_are_all_that_an_author_writes(kind, pattern, order):
    shapes = dict(zip(("dense", "conv", "rnn"), (s for _, s in SHAPES.values()), strict=True))
    chance = np.random.default_rng(0)
    weight = np.array(chance.standard_normal(shapes[kind]).astype(np.float32), order=order)
    alive = np.zeros(weight.shape, bool)
    alive[: len(weight) // 2 + 1] = chance.random(alive[: len(weight) // 2 + 1].shape) < 0.2
    for previous in (None, alive):
        bound = NumpyAdapter().bind({"w": (weight, kind)}).weights
        given = None if previous is None else {"w": previous}
        found = masks.compute(method(pattern), bound, 0.4, 0, given)["w"]
        np.testing.assert_array_equal(found, naive(pattern, weight, kind, 0.4, previous))


@pytest.mark.sampled(13)
@pytest.mark.parametrize("at_once", [8, 1 << 15])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("distribution", [Uniform(), Global(), RelativeToLargest()])
@pytest.mark.parametrize("pattern", [None, *PATTERNS], ids=lambda p: p and p.kind)
def test_shards_have_the_masks_of_the_whole(monkeypatch, pattern, distribution, way, at_once):
    bring_together(monkeypatch, at_once)
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 100, SHAPES)
    used, dealt = method(pattern, distribution), shares(rng, weights, 4, way)
    first = masks.compute(used, weights, 0.3)
    second = masks.compute(used, weights, 0.6, 5, first)

    def work(workers):
        mine = dealt[workers.rank]
        begun = masks.compute(used, mine, 0.3, 0, None, workers)
        return masks.compute(used, mine, 0.6, 5, begun, workers)

    found = assemble([weight.spec for weight in weights], dealt, on_workers(4, work))
    for name, mask in second.items():
        np.testing.assert_array_equal(found[name], mask)


def test_weights_of_nothing_have_no_groups():
    for shape in [(0, 4), (4, 0)]:
        for pattern in PATTERNS[:4]:
            bound = NumpyAdapter().bind({"w": np.zeros(shape)}).weights
            assert masks.compute(method(pattern), bound, 0.5)["w"].shape == shape


class Wrong(Slices):
    """Goes wrong in one of many ways."""

    kind = "wrong_test"
    way: str

    def extent(self, spec):
        wrong = {
            "short extent": [1],
            "zero extent": [0, None],
            "fractional extent": [1.0, None],
        }
        return wrong.get(self.way, super().extent(spec))

    def pool(self, scores, spec):
        found = super().pool(scores, spec)
        return {
            "long pool": np.concatenate([found, found]),
            "pool of elements": scores,
            "pool of integers": found.astype(np.int64),
            "pool of NaN": found * np.nan,
            "no array": None,
        }.get(self.way, found)

    def group(self, elements):
        if self.way == "group of elements":
            return elements
        if self.way == "failing group":
            raise ArithmeticError("out of tune")
        return super().group(elements)

    def expand(self, kept, spec):
        mask = super().expand(kept, spec)
        return {
            "small mask": mask[:1, :1],
            "mask of bytes": mask.view(np.uint8),
            "flat mask": mask.reshape(-1),
            "mask of lists": mask.tolist(),
        }.get(self.way, mask)


class Bare(Pattern):
    kind = "bare_test"


class NoPool(Pattern):
    kind = "no_pool_test"

    def extent(self, spec):
        return [1] * len(spec.shape)


class WrongChoice(FirstOfPair):
    kind = "wrong_choice_test"
    way: str

    def select(self, elements):
        mask = super().select(elements)
        return {"small": mask[:1, :1], "bytes": mask.view(np.uint8)}[self.way]


class WrongDistribution(Uniform):
    kind = "wrong_distribution_test"
    way: str

    def select(self, groups, sparsity, workers=SINGLE):
        kept = super().select(groups, sparsity, workers)
        if self.way == "failing":
            raise ArithmeticError("out of tune")
        return {
            "one too few": kept[1:],
            "wrong shape": [mask[:0] for mask in kept],
            "bytes": [mask.view(np.uint8) for mask in kept],
        }[self.way]


FAILURES = [
    (Wrong(way="short extent"), None, r"extent\(\) gave \(1,\)"),
    (Wrong(way="zero extent"), None, r"extent\(\) gave \(0, None\)"),
    (Wrong(way="fractional extent"), None, r"extent\(\) gave \(1.0, None\)"),
    (Wrong(way="long pool"), None, r"pool\(\) gave float32 scores of shape"),
    (Wrong(way="pool of elements"), None, r"pool\(\) gave float32 scores of shape"),
    (Wrong(way="pool of integers"), None, r"pool\(\) gave int64 scores"),
    (Wrong(way="pool of NaN"), None, r"pool\(\) gave a score that is NaN"),
    (Wrong(way="no array"), None, r"pool\(\) gave NoneType as scores"),
    (Wrong(way="failing group"), None, "ArithmeticError: out of tune"),
    (Wrong(way="small mask"), None, "gave a mask of bool"),
    (Wrong(way="mask of bytes"), None, "gave a mask of uint8"),
    (Wrong(way="flat mask"), None, "gave a mask of bool"),
    (Wrong(way="mask of lists"), None, "gave list as a mask"),
    (Bare(), None, r"no extent\(\)"),
    (NoPool(), None, r"no pool\(\)"),
    (WrongChoice(way="small"), None, "gave a mask of bool"),
    (WrongChoice(way="bytes"), None, "gave a mask of uint8"),
    (Slices(), WrongDistribution(way="failing"), "ArithmeticError: out of tune"),
    (None, WrongDistribution(way="failing"), "ArithmeticError: out of tune"),
    (None, WrongDistribution(way="one too few"), "gave 1 masks for 2 weights"),
    (Slices(), WrongDistribution(way="wrong shape"), "gave a mask of bool"),
    (None, WrongDistribution(way="bytes"), "gave a mask of uint8"),
]


@pytest.mark.parametrize("count", [0, 1, 2], ids=["whole", "one worker", "two workers"])
@pytest.mark.parametrize(("pattern", "distribution", "why"), FAILURES)
def test_who_fails_is_blamed_itself(pattern, distribution, why, count):
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 9, {"a": ("dense", (8, 6)), "b": ("dense", (4, 9))})
    used, dealt = method(pattern, distribution), shares(rng, weights, max(count, 1), "by rows")
    blamed = pattern if distribution is None else distribution

    def work(workers):
        with pytest.raises(PluginError, match=why) as raised:
            masks.compute(used, dealt[workers.rank], 0.5, 3, None, workers)
        return str(raised.value)

    if count:
        texts = on_workers(count, work)
    else:
        with pytest.raises(PluginError, match=why) as raised:
            masks.compute(used, weights, 0.5, 3)
        texts = [str(raised.value)]
    for text in texts:
        assert f"({blamed.family} {blamed.kind!r}), step 3, weights a" in text


def test_groups_that_do_not_fit_the_extent_are_refused_over_shards():
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 9, {"a": ("dense", (8, 6))})
    dealt = shares(rng, weights, 2, "by rows")

    def work(workers):
        with pytest.raises(PluginError, match=r"gave groups of shape .*; by its extent\(\)"):
            masks.compute(
                method(Wrong(way="group of elements")), dealt[workers.rank], 0.5, 0, None, workers
            )

    on_workers(2, work)


def test_an_error_names_eight_weights_at_most():
    model_of_many = {f"layer_{number}": np.ones((2, 2)) for number in range(30)}
    bound = NumpyAdapter().bind(model_of_many).weights
    with pytest.raises(PluginError, match=r"weights layer_0, .*layer_7 and 22 more: "):
        masks.compute(method(None, WrongDistribution(way="failing")), bound, 0.5)
