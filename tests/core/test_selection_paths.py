"""Every way through the selection, at sizes small enough for the reference."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from hypothesis import given
from hypothesis import strategies as st
from strategies import DTYPES, KINDS_OF_VALUES, LAYOUTS, arranged, fill

from secateur.adapter import WeightSpec
from secateur.arrays import sizes
from secateur.components.criteria import Magnitude
from secateur.components.patterns import NM, Block
from secateur.selection import histogram as digits
from secateur.selection import select as selection
from secateur.selection import threshold as thresholds
from secateur.selection.brackets import guess
from secateur.selection.elements import Elements
from secateur.selection.select import select
from secateur.selection.threshold import threshold


@pytest.fixture(autouse=True, scope="module")
def small_pieces():
    """Small chunks, spans and samples, so that small weights take every path."""
    with pytest.MonkeyPatch.context() as patch:
        small = {
            "CHUNK": 16,
            "COMPARED": 16,
            "COUNTED": 5,
            "DIGESTED": 5,
            "SPAN": 48,
            "SMALL": 20,
            "POOLED": 24,
        }
        for name, size in small.items():
            patch.setattr(sizes, name, size)
        yield


@pytest.fixture(params=["1", "3"])
def threads(request, monkeypatch):
    monkeypatch.setenv("SECATEUR_THREADS", request.param)


def elements(values, previous=None):
    spec = WeightSpec("w", "dense", "kernel", values.shape, values.dtype.name, "w")
    return Elements(spec, values, Magnitude(), previous=previous)


def expected(arrays, keep, alive=None):
    scored = [reference.magnitudes(array) for array in arrays]
    if alive is not None:
        scored = [[s if lives else -1.0 for s, lives in zip(scored[0], alive, strict=True)]]
    return reference.shaped(arrays, reference.best_of_all(arrays, scored, keep))


def as_parts(groups):
    """The same groups, as if other workers could hold more of them: histograms decide."""
    return [group.as_part_of(group.count, lambda index: index) for group in groups]


def assert_selects(arrays, keep, sharded=False):
    groups = [elements(array) for array in arrays]
    found = select(as_parts(groups) if sharded else groups, keep)
    for mask, wanted in zip(found, expected(arrays, keep), strict=True):
        np.testing.assert_array_equal(mask, wanted)


SHAPES = st.one_of(
    st.tuples(st.integers(0, 30), st.integers(0, 30)),
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(1, 4)),
)


@st.composite
def arrays(draw, most=3):
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    found = []
    for _ in range(draw(st.integers(1, most))):
        seed = draw(st.integers(0, 2**32 - 1))
        values = fill(draw(SHAPES), dtype, draw(st.sampled_from(KINDS_OF_VALUES)), seed)
        layout = draw(st.sampled_from(LAYOUTS))
        found.append(arranged(values, layout, np.random.default_rng(seed)))
    return found


@given(data=st.data(), given=arrays())
def test_brackets_histograms_and_ties(data, given):
    size = sum(array.size for array in given)
    assert_selects(given, data.draw(st.integers(0, size)))


@given(data=st.data(), given=arrays())
def test_histograms_only_as_over_shards(data, given):
    size = sum(array.size for array in given)
    assert_selects(given, data.draw(st.integers(0, size)), sharded=True)


@given(data=st.data(), given=arrays(), collected=st.sampled_from([3, 1000]))
def test_a_threshold_gives_the_same_masks(data, given, collected):
    keep = data.draw(st.integers(0, sum(array.size for array in given)))
    groups = [elements(array) for array in given]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "COLLECTED", collected)
        found = threshold(groups, keep)
    for number, wanted in enumerate(expected(given, keep)):
        np.testing.assert_array_equal(found.mask(number, groups[number]), wanted)


@pytest.mark.parametrize("layouts", [["c"], ["transposed"], ["c", "c", "offset"], ["c", "f"]])
def test_few_keys_are_counted_in_one_pass(monkeypatch, threads, layouts):
    monkeypatch.setattr(thresholds, "kth_key", None)
    monkeypatch.setattr(thresholds, "_inside", None)
    chance = np.random.default_rng(0)
    near = {"c": 1.0, "transposed": 1.0, "offset": 1.01, "f": 1.02}  # a few bfloat16 apart
    given = [
        arranged(
            (chance.random((30, 20)) / 99 + near[layout]).astype(DTYPES["bfloat16"]), layout, chance
        )
        for layout in layouts
    ]
    groups = [elements(array) for array in given]
    for keep in range(1, 600 * len(given), 97):
        found = threshold(groups, keep)
        for number, wanted in enumerate(expected(given, keep)):
            np.testing.assert_array_equal(found.mask(number, groups[number]), wanted)


@given(data=st.data(), given=arrays(most=1), seed=st.integers(0, 99))
def test_pruned_groups_rank_below_all(data, given, seed):
    alive = np.random.default_rng(seed).random(given[0].shape) < 0.5
    keep = data.draw(st.integers(0, given[0].size))
    mask = select([elements(given[0], arranged(alive, "f", None))], keep)[0]
    wanted = expected(given, keep, alive.ravel())[0]
    np.testing.assert_array_equal(mask, wanted)


@given(given=arrays(most=1), keep=st.floats(0, 1), out=st.integers(1, 4), in_=st.integers(1, 9))
@pytest.mark.parametrize("pooling_by", ["avg", "max", "min", "l1"])
def test_blocks_in_small_pieces(pooling_by, given, keep, out, in_):
    pattern = Block.model_validate({"out": out, "in": in_, "pooling": pooling_by})
    groups = pattern.group(elements(given[0]))
    keep = round(keep * groups.size)
    mask = pattern.expand(select([groups], keep)[0], groups.spec)
    scored = reference.block_scores(given[0], "dense", out, in_, pooling_by)
    tiles = reference.tiles(given[0].shape, "dense", out, in_)
    wanted = reference.spread(given[0], tiles, reference.best(scored, keep))
    np.testing.assert_array_equal(mask, wanted)


@given(given=arrays(most=1), of=st.integers(2, 10), data=st.data())
def test_sets_in_small_pieces(given, of, data):
    keep = data.draw(st.integers(1, of - 1))
    mask = NM(keep=keep, of=of).select(elements(given[0]))
    np.testing.assert_array_equal(mask, reference.n_m(given[0], keep, of))


@given(given=arrays(most=2), fraction=st.floats(0, 1))
def test_candidates_that_overflow_fall_back_to_histograms(given, fraction):
    keep = round(fraction * sum(array.size for array in given))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "COLLECTED", 3)
        assert_selects(given, keep)


@pytest.mark.parametrize(
    ("values", "keep", "way"),
    [
        pytest.param("normal", 300, "_drop", id="a bracket that was right"),
        pytest.param("ternary", 100, "keep_first_ties", id="many equal keys"),
        pytest.param("misleading", 500, "_select_by_histogram", id="a bracket that was wrong"),
    ],
)
def test_the_way_taken(monkeypatch, threads, values, keep, way):
    if values == "misleading":
        monkeypatch.setattr(guess, "_sample", lambda *_: np.arange(5000, dtype="u4"))
        values = "normal"
    array = fill((40, 25), DTYPES["float32"], values, 0)
    taken = []
    original = getattr(selection, way)
    monkeypatch.setattr(selection, way, lambda *a, **k: (taken.append(way), original(*a, **k))[1])
    assert_selects([array], keep)
    assert taken == [way]


@pytest.mark.sampled(5)
@pytest.mark.parametrize("values", KINDS_OF_VALUES)
@pytest.mark.parametrize("layout", ["c", "transposed", "sliced"])
def test_every_count_of_one_weight(threads, layout, values):
    array = arranged(fill((9, 14), DTYPES["float32"], values, 1), layout, np.random.default_rng(3))
    for keep in {*range(0, array.size, 9), 1, array.size - 1, array.size}:
        assert_selects([array], keep)


def test_kth_largest_counts_equal_numbers():
    numbers = np.array([5, 1 << 20, 5, 3, 70000], np.uint64)

    def count(prefix, shift):
        matching = numbers[numbers >> np.uint64(shift + 16) == prefix]
        low = (matching >> np.uint64(shift)) & np.uint64(0xFFFF)
        return np.bincount(low.astype(np.int64), minlength=1 << 16)

    assert [digits.kth_largest(count, 24, rank) for rank in range(1, 6)] == [
        (1 << 20, 1, 1), (70000, 1, 1), (5, 1, 2), (5, 2, 2), (3, 1, 1),
    ]  # fmt: skip
