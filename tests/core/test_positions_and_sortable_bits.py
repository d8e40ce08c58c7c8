"""The small parts under selection: positions, regions, keys, threads."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import DTYPES, KINDS_OF_VALUES, LAYOUTS, arranged, fill

from secateur.arrays.chunks import cores, map_threads
from secateur.arrays.positions import MemoryArray, MemoryOrder, memory_axes, regions
from secateur.arrays.sortable_bits import common_dtype, infinity, magnitude_keys, score_keys
from secateur.components.criteria import Random
from secateur.selection.context import Context
from secateur.selection.tiles import spread

SHAPE = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple)


@given(shape=SHAPE, data=st.data())
def test_boxes_cover_a_range_once_and_in_order(shape, data):
    size = int(np.prod(shape))
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    numbers = np.arange(size).reshape(shape)
    found = [numbers[region].ravel() for region in regions(shape, start, stop)]
    np.testing.assert_array_equal(np.concatenate([*found, []]), np.arange(start, stop))


@given(shape=SHAPE, data=st.data())
def test_places_coordinates_and_index_agree(shape, data):
    axes = tuple(data.draw(st.permutations(range(len(shape)))))
    order = MemoryOrder(shape, axes)
    positions = np.arange(order.size)
    index = order.index(positions)
    assert sorted(index.tolist()) == list(range(order.size))
    np.testing.assert_array_equal(order.positions(order.coordinates(positions)), positions)
    whole = tuple(slice(0, length) for length in shape)
    np.testing.assert_array_equal(order.canonical(positions), order.positions_in(whole))
    numbers = np.arange(order.size).reshape(shape)
    np.testing.assert_array_equal(numbers.transpose(axes).ravel(), index)


@given(
    shape=st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple),
    layout=st.sampled_from(LAYOUTS),
    data=st.data(),
)
def test_an_array_is_read_in_memory_order(shape, layout, data):
    array = arranged(np.arange(np.prod(shape)).reshape(shape), layout, np.random.default_rng(0))
    order = MemoryOrder(array.shape, memory_axes(array))
    start = data.draw(st.integers(0, order.size))
    stop = data.draw(st.integers(start, order.size))
    positions = np.arange(start, stop)
    read = MemoryArray(array, order)
    np.testing.assert_array_equal(read[start:stop], order.index(positions))
    np.testing.assert_array_equal(read[positions[::2]], order.index(positions[::2]))


@pytest.mark.parametrize("dtype", DTYPES)
@given(values=st.lists(st.floats(-60000, 60000, width=16), min_size=1))
def test_keys_order_as_scores_do(dtype, values):
    scores = np.array(values).astype(DTYPES[dtype])
    numbers = scores.astype(np.float64)
    keys, magnitudes = score_keys(scores), magnitude_keys(scores)
    order = np.argsort(numbers, kind="stable")
    np.testing.assert_array_equal(np.argsort(keys, kind="stable"), order)
    np.testing.assert_array_equal(
        np.argsort(magnitudes, kind="stable"), np.argsort(np.abs(numbers), kind="stable")
    )
    for first, second in zip(range(len(values)), range(1, len(values)), strict=False):
        assert (keys[first] == keys[second]) == (numbers[first] == numbers[second])


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinity_separates_finite_keys_from_the_others(dtype):
    special = np.array([np.inf, -np.inf, np.nan]).astype(DTYPES[dtype])
    largest = np.array([ml_dtypes.finfo(DTYPES[dtype]).max])
    assert (magnitude_keys(special) >= infinity(DTYPES[dtype])).all()
    assert (magnitude_keys(largest) < infinity(DTYPES[dtype])).all()


@pytest.mark.parametrize(
    ("names", "common"),
    [
        (["float16"], "float16"),
        (["float16", "bfloat16"], "float32"),
        (["bfloat16", "float32", "float16"], "float32"),
        (["float32", "float64"], "float64"),
    ],
)
def test_common_dtype(names, common):
    assert common_dtype([np.zeros(1, DTYPES[name]) for name in names]) == DTYPES[common]


@given(
    shape=st.tuples(st.integers(0, 9), st.integers(0, 17)),
    tile=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    transposed=st.booleans(),
)
def test_spreading_repeats_each_tile(shape, tile, transposed):
    grid = [-(-length // size) for length, size in zip(shape, tile, strict=True)]
    kept = np.random.default_rng(0).random(grid) < 0.5
    if transposed:
        kept = np.asfortranarray(kept)
    wanted = np.repeat(np.repeat(kept, tile[0], 0), tile[1], 1)[: shape[0], : shape[1]]
    np.testing.assert_array_equal(spread(kept, tile, shape), wanted)


@pytest.mark.parametrize("threads", ["1", "2", "7"])
def test_threads_keep_the_order_and_pass_errors_on(monkeypatch, threads):
    monkeypatch.setenv("SECATEUR_THREADS", threads)
    assert cores() == int(threads)
    assert map_threads(lambda n: n * n, range(20)) == [n * n for n in range(20)]
    with pytest.raises(ZeroDivisionError):
        map_threads(lambda n: 1 // (n - 13), range(20))


def chance(index, seed=0, name="w", step=0):
    context = Context(name, step, lambda: np.asarray(index), lambda: None)
    return Random(seed=seed).score(np.zeros(np.shape(index)), context)


def test_random_scores_are_uniform_and_depend_on_seed_name_and_step_alone():
    scores = chance(np.arange(100_000))
    assert ((scores >= 0) & (scores < 1)).all()
    assert len(np.unique(scores)) == len(scores)
    counts = np.histogram(scores, 50, (0, 1))[0]
    assert (abs(counts - 2000) < 5 * np.sqrt(2000)).all()
    np.testing.assert_array_equal(chance([7, 3]), scores[[7, 3]])
    others = [chance(np.arange(9), **other) for other in ({"seed": 1}, {"name": "v"}, {"step": 1})]
    assert all((other != scores[:9]).all() for other in others)


@pytest.mark.parametrize("values", KINDS_OF_VALUES)
def test_fill_gives_what_its_name_says(values):
    array = fill((30, 30), DTYPES["bfloat16"], values, 0)
    assert array.dtype == DTYPES["bfloat16"]
    assert np.isfinite(array.astype(np.float64)).all()
