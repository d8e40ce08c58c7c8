"""Masks of sharded weights are those of the whole weights, bit for bit: workers are threads."""

from __future__ import annotations

import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

import secateur
from secateur.adapter import Weight, WeightSpec
from secateur.arrays import sizes
from secateur.errors import PluginError, WeightError
from secateur.masks import channels
from secateur.masks import compute as masks
from secateur.policy.policy import as_policy
from secateur.run.saved import sharded_state
from secateur.selection.elements import Elements
from secateur.selection.norms import channel_norms
from secateur.workers import Workers
from tests.cases import some

PATTERNS = {
    "unstructured": {"kind": "unstructured"},
    "block 4x1": {"kind": "block", "out": 4, "in": 1},
    "block 3x2 max": {"kind": "block", "out": 3, "in": 2, "pooling": "max"},
    "block 4x2 l2": {"kind": "block", "out": 4, "in": 2, "pooling": "l2"},
    "2:4": {"kind": "n_m", "keep": 2, "of": 4},
    "channel out": {"kind": "channel", "axis": "out"},
    "channel in": {"kind": "channel", "axis": "in"},
    "channel in l1": {"kind": "channel", "axis": "in", "pooling": "l1", "normalize": True},
    "channel out min": {"kind": "channel", "pooling": "min"},
}
CASES = [
    (pattern, distribution)
    for pattern in PATTERNS
    for distribution in ("uniform", "erk", "global", "lamp")
    if pattern not in ("2:4", "block 4x2 l2", "channel in l1", "channel out min")
    or distribution == ("uniform" if pattern == "2:4" else "global")
]
DEVIATIONS = {"kind": "threshold", "deviations": 0.9}
CASES += [
    ("unstructured", DEVIATIONS),
    ("block 4x1", DEVIATIONS),
    ("channel in", {"kind": "threshold", "value": 2.1}),
]


class ThreadWorkers(Workers):
    """Threads that meet at a barrier, and take turns with two tables between two meetings."""

    def __init__(self, rank, count, tables, barrier):
        self.rank, self.count, self._barrier = rank, count, barrier
        self._this, self._next = tables

    def _all(self, mine):
        table, self._this, self._next = self._this, self._next, self._this
        table[self.rank] = mine
        self._barrier.wait(30)
        return list(table)

    def total(self, numbers):
        return sum(self._all(numbers))

    def exchange(self, send_buffers):
        return [sent[self.rank].copy() for sent in self._all(list(send_buffers))]


class CountingWorkers(ThreadWorkers):
    """Threads that count the bytes which one sends to another."""

    sent = 0

    def exchange(self, send_buffers):
        here = send_buffers[self.rank].nbytes
        self.sent += sum(send_buffer.nbytes for send_buffer in send_buffers) - here
        return super().exchange(send_buffers)


class Held(Weight):
    """Some elements of a weight, by their canonical indices."""

    sharded = True

    def __init__(self, spec, values, index):
        self.spec, self._values, self._index = spec, values.reshape(-1)[index], index

    def read(self):
        return self._values

    def index(self, positions):
        return self._index[positions]

    def everywhere(self):
        return self._index


class Whole(Weight):
    def __init__(self, spec, values):
        self.spec, self._values = spec, values

    def read(self):
        return self._values


SHAPES = {
    "fc": ("dense", (13, 10)),
    "conv": ("conv", (6, 5, 3, 3)),
    "rnn": ("rnn", (3, 5, 7)),
    "long": ("dense", (2, 90)),
}


def model(rng, dtype, levels, shapes=SHAPES):
    """Some weights; few levels make many ties, none make all equal."""
    weights = []
    for name, (kind, shape) in shapes.items():
        spec = WeightSpec(name, kind, "kernel", shape, np.dtype(dtype).name, name)
        values = (
            rng.integers(-levels, levels + 1, shape) / levels if levels else np.full(shape, 0.5)
        )
        weights.append(Whole(spec, values.astype(dtype)))
    return weights


def by_axis(spec, count, axis):
    return np.indices(spec.shape)[axis].reshape(-1) * count // spec.shape[axis]


WAYS = {
    "flat": lambda rng, spec, count: np.arange(spec.size) * count // spec.size,
    "by rows": lambda rng, spec, count: by_axis(spec, count, 0),
    "by columns": lambda rng, spec, count: by_axis(spec, count, 1),
    "backwards, to some": lambda rng, spec, count: count - 2 - by_axis(spec, count - 2, 0),
    "wildly": lambda rng, spec, count: rng.integers(0, count, spec.size),
    "all to one": lambda rng, spec, count: np.full(spec.size, count // 2),
}
"""How each weight's elements are dealt to workers: the worker of each."""


def shares(rng, weights, count, way):
    dealt = [[] for _ in range(count)]
    for weight in weights:
        owner = WAYS[way](rng, weight.spec, count)
        for worker, held in enumerate(dealt):
            held.append(Held(weight.spec, weight.read(), np.flatnonzero(owner == worker)))
    return dealt


def method_of(pattern, distribution, criterion="magnitude"):
    rule = {"match": {}, "pattern": PATTERNS[pattern], "criterion": criterion}
    if pattern != "2:4":
        rule["distribution"] = distribution
    final = 0.5 if pattern == "2:4" else 0.7
    schedule = {"kind": "one_shot", "final_sparsity": final}
    policy = as_policy({"schedule": schedule, "rules": [rule]})
    return policy.resolved_rules[0].method


def on_workers(count, work, kind=ThreadWorkers):
    """Run ``work(workers)`` on each worker; return what each gave, or raise the first error."""
    tables, barrier = ([None] * count, [None] * count), threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        running = [pool.submit(work, kind(rank, count, tables, barrier)) for rank in range(count)]
        return [each.result(60) for each in running]


def assemble(specs, dealt, parts):
    whole = {}
    for number, spec in enumerate(specs):
        mask = np.zeros(spec.size, bool)
        for held, part in zip(dealt, parts, strict=True):
            mask[held[number].everywhere()] = part[spec.name]
        whole[spec.name] = mask.reshape(spec.shape)
    return whole


def bring_together(monkeypatch, at_once):
    monkeypatch.setattr(sizes, "GATHERED", at_once)


@pytest.fixture(params=[8, 1 << 15], ids=["many rounds", "one round"])
def _rounds(request, monkeypatch):
    bring_together(monkeypatch, request.param)


@pytest.mark.sampled(23)
@pytest.mark.usefixtures("_rounds")
@pytest.mark.parametrize(
    ("count", "way"),
    [
        (1, "flat"),
        pytest.param(2, "flat", marks=pytest.mark.thorough),
        (3, "wildly"),
        pytest.param(4, "by columns", marks=pytest.mark.thorough),
        (4, "backwards, to some"),
    ],
)
@pytest.mark.parametrize(("pattern", "distribution"), CASES)
def test_sharded_masks_are_those_of_the_whole(pattern, distribution, count, way):
    rng = np.random.default_rng(count)
    kinds = ((np.float32, 10**6), (ml_dtypes.bfloat16, 50), (np.float32, 3), (np.float32, 0))
    for dtype, levels in some(kinds, 2):
        weights = model(rng, dtype, levels)
        specs = [weight.spec for weight in weights]
        method = method_of(pattern, distribution)
        first = masks.compute(method, weights, 0.4)
        second = masks.compute(method, weights, 0.7, 5, first)
        dealt = shares(rng, weights, count, way)

        def work(workers, method=method, dealt=dealt):
            mine = dealt[workers.rank]
            begun = masks.compute(method, mine, 0.4, 0, None, workers)
            return begun, masks.compute(method, mine, 0.7, 5, begun, workers)

        parts = on_workers(count, work)
        for which, expected in enumerate((first, second)):
            found = assemble(specs, dealt, [part[which] for part in parts])
            for name, mask in expected.items():
                np.testing.assert_array_equal(found[name], mask)


@pytest.mark.sampled(5)
@pytest.mark.usefixtures("_rounds")
@pytest.mark.parametrize("axis", ["out", "in"])
@pytest.mark.parametrize("way", WAYS)
def test_channels_of_shards_have_the_same_bits(way, axis):
    rng = np.random.default_rng(0)
    spec = WeightSpec("w", "conv", "kernel", (7, 50, 1, 3), "float64", "w")
    weight = Whole(spec, rng.standard_normal(spec.shape))
    number, criterion = ("out", "in").index(axis), method_of("channel out", "uniform").criterion
    dealt = shares(rng, [weight], 4, way)

    def work(workers):
        (held,) = dealt[workers.rank]
        elements = Elements(spec, held.read(), criterion).as_part_of(spec.size, held.index)
        mine = channels.Channels(elements, number, workers).ranked()
        positions = np.arange(mine.size)
        return mine.index(positions), mine.scores(positions)

    found = on_workers(4, work)
    index, norms = (np.concatenate(each) for each in zip(*found, strict=True))
    expected = channel_norms(Elements(spec, weight.read(), criterion), number)
    np.testing.assert_array_equal(np.sort(index), np.arange(len(expected)))
    np.testing.assert_array_equal(norms, expected[index])


@pytest.fixture
def peak_of(monkeypatch):
    """Return the most memory that two workers take together, apart from what any weight takes."""
    bring_together(monkeypatch, 1 << 11)
    monkeypatch.setattr(sizes, "CHUNK", 1 << 13)
    monkeypatch.setattr(sizes, "COMPARED", 1 << 14)
    monkeypatch.setattr(sizes, "COUNTED", 1 << 11)
    return _peak_of


def _peak_of(work):
    tracemalloc.start()
    on_workers(2, work)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


LARGE = {"w": ("dense", (8192, 1024))}
TALL = {"w": ("embedding", (1 << 19, 8))}
LONG = {"w": ("dense", (8, 1 << 19))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "distribution", "shapes", "levels"),
    [
        ("unstructured", "lamp", LARGE, 0),
        ("unstructured", "lamp", LARGE, 3),
        ("block 4x1", "uniform", LARGE, 10**6),
        ("channel out", "uniform", LONG, 10**6),
        ("channel in", "uniform", TALL, 10**6),
    ],
)
def test_masks_take_less_memory_than_a_shard(pattern, distribution, shapes, levels, peak_of):
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, levels, shapes)
    method, dealt = method_of(pattern, distribution), shares(rng, weights, 2, "by rows")

    def work(workers):
        masks.compute(method, dealt[workers.rank], 0.7, 0, None, workers)

    assert peak_of(work) < weights[0].read().nbytes  # two shards, of two workers


@pytest.mark.parametrize(
    ("pattern", "count", "way", "most"),
    [
        ("block 4x1", 2, "by rows", 0),
        ("block 4x1", 4, "by columns", 0),
        ("2:4", 4, "by rows", 0),
        ("2:4", 2, "by columns", 0),
        ("channel out", 4, "by rows", 512),  # the mask of the channels, to three
        ("channel in", 4, "by columns", 512),
        ("channel in", 4, "by rows", 4096),  # and two sums of each channel
        ("channel out", 4, "by columns", 4096),
    ],
)
def test_elements_stay_where_groups_need_not_move(pattern, count, way, most):
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 10**6, {"w": ("dense", (128, 160))})
    method, dealt = method_of(pattern, "global"), shares(rng, weights, count, way)

    def work(workers):
        masks.compute(method, dealt[workers.rank], 0.5, 0, None, workers)
        return workers.sent

    assert max(on_workers(count, work, CountingWorkers)) <= most


@pytest.mark.usefixtures("_rounds")
@pytest.mark.parametrize("way", WAYS)
def test_masks_are_packed_in_canonical_order_and_come_back(way):
    rng = np.random.default_rng(0)
    spec = WeightSpec("w", "dense", "kernel", (13, 11), "float32", "w")
    mask = rng.random(spec.shape) < 0.5
    dealt = shares(rng, [Whole(spec, mask)], 4, way)

    def work(workers):
        (held,) = dealt[workers.rank]
        chunk = sharded_state.pack(held.read(), held.index, spec.size, workers)
        back = sharded_state.unpack(chunk, held.read().size, held.index, spec.size, workers)
        np.testing.assert_array_equal(back, held.read())
        return chunk

    chunks = on_workers(4, work)
    np.testing.assert_array_equal(np.concatenate(chunks), np.packbits(mask))


def test_packing_masks_takes_less_memory_than_half_a_shard(peak_of):
    rng = np.random.default_rng(0)
    spec = WeightSpec("w", "dense", "kernel", (2048, 512), "float32", "w")
    dealt = shares(rng, [Whole(spec, rng.random(spec.shape) < 0.5)], 2, "by rows")

    def work(workers):
        (held,) = dealt[workers.rank]
        chunk = sharded_state.pack(held.read(), held.index, spec.size, workers)
        sharded_state.unpack(chunk, held.read().size, held.index, spec.size, workers)

    assert peak_of(work) < 4 * spec.size / 2


@pytest.mark.parametrize("window", [3, 200])
def test_a_state_keeps_its_lengths_while_it_waits_and_after(window):
    schedule = {
        "kind": "linear",
        "final_sparsity": 0.5,
        "end_step": 504,
        "frequency": 1,
        "begin_when": {"monitor": "loss", "window": window, "latest": 500},
    }
    pruner = secateur.attach({"w": np.ones((5, 7))}, {"schedule": schedule})
    lengths = {len(pruner.state_dict()["secateur"])}
    for step in range(501):
        pruner.observe(loss=-1e-300 / 3 - step * 1e-302)
        pruner.step()
        if step in (1, 100, 450, 500):
            lengths.add(len(pruner.state_dict()["secateur"]))
    assert len(lengths) == 1


@pytest.mark.sampled(5)
@pytest.mark.usefixtures("_rounds")
@pytest.mark.parametrize(("pattern", "distribution"), CASES)
def test_weights_of_zeros_or_of_nothing(pattern, distribution):
    rng = np.random.default_rng(0)
    shapes = {"a": ("dense", (0, 4)), "b": ("dense", (4, 0)), "c": ("dense", (12, 9))}
    weights = model(rng, np.float32, 9, shapes)
    spec = WeightSpec("zeros", "dense", "kernel", (7, 9), "float32", "zeros")
    weights.append(Whole(spec, np.zeros(spec.shape, np.float32)))
    method, dealt = method_of(pattern, distribution), shares(rng, weights, 3, "wildly")
    parts = on_workers(
        3, lambda workers: masks.compute(method, dealt[workers.rank], 0.5, 0, None, workers)
    )
    found = assemble([weight.spec for weight in weights], dealt, parts)
    for name, mask in masks.compute(method, weights, 0.5).items():
        np.testing.assert_array_equal(found[name], mask)


def test_chance_is_the_same_on_shards():
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 100)
    method = method_of("block 4x1", "global", "random")
    dealt = shares(rng, weights, 3, "wildly")
    parts = on_workers(
        3, lambda workers: masks.compute(method, dealt[workers.rank], 0.7, 4, None, workers)
    )
    found = assemble([weight.spec for weight in weights], dealt, parts)
    for name, mask in masks.compute(method, weights, 0.7, 4).items():
        np.testing.assert_array_equal(found[name], mask)


def test_counts_are_summed_over_workers():
    found = on_workers(
        2, lambda workers: masks.kept({"w": np.array([True] * (workers.rank + 1))}, workers)
    )
    assert found == [{"w": 3}, {"w": 3}]


class Picky(secateur.Criterion):
    """Fails on one element of one weight, as a plugin may."""

    kind = "picky_test"
    elementwise = True

    def score(self, values, context):
        if context.name == "conv" and (context.index == 7).any():
            raise ZeroDivisionError("seven")
        return np.abs(values)


def test_a_criterion_that_fails_on_one_worker_is_an_error_on_all():
    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Picky]

    secateur.register(Plugin(), name="picky-test")
    try:
        rng = np.random.default_rng(0)
        dealt = shares(rng, model(rng, np.float32, 9), 2, "flat")
        method = method_of("block 4x1", "global", "picky_test")

        def work(workers):
            with pytest.raises(PluginError) as raised:
                masks.compute(method, dealt[workers.rank], 0.7, 0, None, workers)
            return str(raised.value)

        texts = sorted(on_workers(2, work))
    finally:
        secateur.unregister("picky-test")
    assert "ZeroDivisionError: seven" in texts[0]
    assert "failed on another worker" in texts[1]


def test_a_nan_on_one_worker_is_an_error_on_all():
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 100)
    weights[1].read()[2, 3, 1, 0] = np.nan
    method = method_of("unstructured", "global")
    dealt = shares(rng, weights, 2, "flat")

    def work(workers):
        with pytest.raises(WeightError) as raised:
            masks.compute(method, dealt[workers.rank], 0.7, 0, None, workers)
        return str(raised.value)

    texts = sorted(on_workers(2, work))
    assert "another worker" in texts[0]
    assert "conv: the value at (2, 3, 1, 0) (canonical) is nan" in texts[1]
