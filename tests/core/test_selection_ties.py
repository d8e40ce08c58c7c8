"""Ties between weights: the order in which a framework lists its weights does not matter."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from compute import masks_of, method
from hypothesis import given
from hypothesis import strategies as st
from strategies import SPARSITIES, weights
from test_sharded import WAYS, Whole, assemble, bring_together, on_workers, shares

import secateur
from secateur.adapter import WeightSpec
from secateur.components.criteria import Magnitude
from secateur.masks import compute as masks
from secateur.selection.elements import Elements
from secateur.selection.select import select
from secateur.selection.ties import first as ties
from secateur.workers import SINGLE

DISTRIBUTIONS = ("global", "lamp")


@st.composite
def several(draw):
    dtypes = ("float16", "bfloat16", "float32", "float64")
    one = (draw(st.sampled_from(dtypes)),)
    mixed = draw(st.booleans())
    return draw(st.lists(weights(dtypes=dtypes if mixed else one, size=60), min_size=2, max_size=5))


def are_different(arrays):
    found = {(array.dtype.name, array.shape, array.tobytes()) for array in arrays}
    return len(found) == len(arrays)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@given(arrays=several(), sparsity=SPARSITIES, seed=st.integers(0, 99))
def test_another_order_of_the_weights_gives_the_same_masks(distribution, arrays, sparsity, seed):
    found = masks_of(arrays, sparsity, distribution=distribution)
    order = np.random.default_rng(seed).permutation(len(arrays))
    turned = masks_of([arrays[number] for number in order], sparsity, distribution=distribution)
    if are_different(arrays):
        for number, mask in zip(order, turned, strict=True):
            np.testing.assert_array_equal(mask, found[number])
    assert sum(mask.sum() for mask in turned) == sum(mask.sum() for mask in found)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@given(arrays=several(), sparsity=SPARSITIES)
def test_weights_that_begin_alike_follow_all_of_their_content(distribution, arrays, sparsity):
    changed = np.array(arrays[0], order="C")
    changed.reshape(-1)[-1:] = 0
    arrays = [changed, *arrays, arrays[-1].copy()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ties, "HEAD", 3)
        patch.setattr(reference, "HEAD", 3)
        found = masks_of(arrays, sparsity, distribution=distribution)
        expected = getattr(reference, {"global": "global_"}.get(distribution, distribution))
        for mask, wanted in zip(found, expected(arrays, sparsity), strict=True):
            np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize("pattern", ["block", "channel"])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@given(seed=st.integers(0, 99), sparsity=SPARSITIES)
def test_groups_tie_by_their_index_and_by_the_content_of_their_weight(
    distribution, pattern, seed, sparsity
):
    chance = np.random.default_rng(seed)
    shapes = [(5, 6), (6, 5), (3, 8), (5, 6)]
    arrays = [chance.integers(-1, 2, shape).astype(np.float32) for shape in shapes]
    settings = {"pattern": {"kind": pattern}, "distribution": distribution}
    found = masks_of(arrays, sparsity, **settings)
    turned = masks_of(arrays[::-1], sparsity, **settings)[::-1]
    for mask, other in zip(found, turned, strict=True):
        np.testing.assert_array_equal(mask, other)


def test_twins_that_list_their_layers_in_another_order():
    values = np.arange(1.0, 17.0, dtype=np.float32).reshape(4, 4)
    layers = {"enc": values, "dec1": values[::-1].copy(), "dec2": values.T.copy()}
    keras_order = {name: layers[name] for name in ("enc", "dec1", "dec2")}
    torch_order = {name: layers[name] for name in ("dec2", "enc", "dec1")}
    rules = [{"match": {}, "distribution": "global"}]
    schedule = {"kind": "one_shot", "final_sparsity": 14 / 48}
    found = [
        secateur.prune(
            {name: array.copy() for name, array in model.items()},
            {"schedule": schedule, "rules": rules},
        ).masks
        for model in (keras_order, torch_order)
    ]
    for name in layers:
        np.testing.assert_array_equal(found[0][name], found[1][name])


def test_weights_equal_in_every_bit_follow_the_order_of_the_plan():
    values = np.arange(1.0, 17.0, dtype=np.float32).reshape(4, 4)
    found = masks_of([values, values.copy(), values.copy()], 13 / 48, distribution="global")
    expected = values > 5
    expected[1, 0] = True  # the value 5, at index 4: two of three weights keep theirs
    np.testing.assert_array_equal(found[0], expected)
    np.testing.assert_array_equal(found[1], expected)
    expected[1, 0] = False
    np.testing.assert_array_equal(found[2], expected)


def test_the_lower_index_comes_before_the_content():
    arrays = [np.full((2, 3), 1.0), np.full((3, 4), 1.0), np.full((1, 5), 1.0)]
    found = masks_of(arrays, 1 - 12 / 23, distribution="global")
    assert [np.flatnonzero(mask).tolist() for mask in found] == [[0, 1, 2, 3]] * 3


@pytest.mark.parametrize("threads", ["1", "3"])
@pytest.mark.parametrize("at_once", [7, 1 << 16])
@given(data=st.data(), arrays=several())
def test_the_digest_is_that_of_the_definition(threads, at_once, data, arrays):
    array = arrays[0]
    spec = WeightSpec("w", "dense", "kernel", array.shape, array.dtype.name, "w")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECATEUR_THREADS", threads)
        patch.setattr("secateur.arrays.sizes.DIGESTED", at_once)
        elements = Elements(spec, array, Magnitude())
        for length in (0, 3, array.size):
            assert elements.digest(length, SINGLE) == reference.digest(array, length)


@pytest.mark.parametrize("change", ["a bit", "a sign", "two swapped", "the shape", "the dtype"])
def test_any_change_changes_the_digest(change):
    array = np.arange(1.0, 25.0, dtype=np.float32).reshape(4, 6)
    changed = array.copy()
    if change == "a bit":
        changed[2, 3] = np.nextafter(changed[2, 3], np.float32(99))
    elif change == "a sign":
        changed[2, 3] *= -1
    elif change == "two swapped":
        changed[[1, 2]] = changed[[2, 1]]
    elif change == "the shape":
        changed = changed.reshape(6, 4)
    else:
        changed = changed.astype(np.float64)
    assert reference.digest(array) != reference.digest(changed)


@pytest.mark.sampled(23)
@pytest.mark.parametrize("at_once", [8, 1 << 15])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("pattern", ["unstructured", "block", "channel"])
def test_shards_in_another_order_have_the_masks_of_the_whole(
    monkeypatch, pattern, distribution, way, at_once
):
    bring_together(monkeypatch, at_once)
    rng = np.random.default_rng(0)
    shapes = {"a": (9, 8), "b": (8, 9), "c": (9, 8), "d": (1, 30)}
    weights = [
        Whole(
            WeightSpec(name, "dense", "kernel", shape, "float32", name),
            rng.integers(-1, 2, shape).astype(np.float32),
        )
        for name, shape in shapes.items()
    ]
    weights.append(
        Whole(WeightSpec("e", "dense", "kernel", (9, 8), "float32", "e"), weights[0].read())
    )
    used = method(0.5, pattern={"kind": pattern}, distribution=distribution)
    for sparsity in (0.3, 0.5, 0.62):
        whole = masks.compute(used, weights, sparsity)
        turned = weights[::-1]
        turned = [turned[-1], *turned[:-1]]  # a stays before e, which equals it in every bit
        dealt = shares(rng, turned, 3, way)

        def work(workers, dealt=dealt, sparsity=sparsity):
            return masks.compute(used, dealt[workers.rank], sparsity, 0, None, workers)

        found = assemble([weight.spec for weight in turned], dealt, on_workers(3, work))
        for name, mask in whole.items():
            np.testing.assert_array_equal(found[name], mask)


def test_content_is_read_only_where_a_tie_at_one_index_needs_it(monkeypatch):
    read = []
    original = Elements.digest
    monkeypatch.setattr(
        Elements, "digest", lambda self, *given: (read.append(given[0]), original(self, *given))[1]
    )
    chance = np.random.default_rng(0)
    normal = [chance.standard_normal((40, 25)) for _ in range(3)]
    masks_of(normal, 0.5, distribution="global")
    ones = [np.ones((4, 5)), np.ones((5, 4))]
    masks_of(ones, 0.5, distribution="global")  # both keep indices 0 to 9
    assert not read
    masks_of(ones, 21 / 40, distribution="global")
    assert read == [4096, 4096]
    read.clear()
    masks_of([np.ones((80, 70)), np.ones((80, 70))], 0.500_1, distribution="global")
    assert read == [4096, 4096, 5600, 5600]


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("values", ["ternary", "zeros", "equal"])
def test_ties_of_large_weights(values, transposed):
    chance = np.random.default_rng(0)
    arrays = []
    for number, shape in enumerate([(300, 500), (1, 90_000), (700, 200), (60_000, 3)]):
        made = {
            "ternary": np.sign(np.round(chance.standard_normal(shape))),
            "zeros": np.where(chance.random(shape) < 0.9, 0.0, chance.standard_normal(shape)),
            "equal": np.full(shape, -0.25 if number else 0.25),
        }[values].astype(np.float32)
        arrays.append(np.asfortranarray(made) if transposed else made)
    scores = np.concatenate([np.abs(array).ravel() for array in arrays])
    index = np.concatenate([np.arange(array.size) for array in arrays])
    digests = [elements_of(array).digest(4096, SINGLE) for array in arrays]
    ranks = [sorted(digests).index(digest) for digest in digests]
    content = np.repeat(ranks, [array.size for array in arrays])
    order = np.lexsort((content, index, -scores))
    for keep in (1, scores.size // 7, scores.size // 2 + 1, scores.size - 2):
        wanted = np.zeros(scores.size, bool)
        wanted[order[:keep]] = True
        found = select([elements_of(array) for array in arrays], keep)
        np.testing.assert_array_equal(np.concatenate([mask.ravel() for mask in found]), wanted)


def elements_of(array):
    return Elements(
        WeightSpec("w", "dense", "kernel", array.shape, array.dtype.name, "w"), array, Magnitude()
    )
