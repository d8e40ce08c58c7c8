"""Masks of sharded weights are those of the whole weights, bit for bit: workers are threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest

from secateur import exchange, lamp, masks
from secateur.adapter import Weight, WeightSpec
from secateur.errors import WeightError
from secateur.policy import as_policy
from secateur.workers import Workers

PATTERNS = {
    "unstructured": {"kind": "unstructured"},
    "block 4x1": {"kind": "block", "out": 4, "in": 1},
    "block 3x2 max": {"kind": "block", "out": 3, "in": 2, "pooling": "max"},
    "2:4": {"kind": "n_m", "keep": 2, "of": 4},
    "channel out": {"kind": "channel", "axis": "out"},
    "channel in": {"kind": "channel", "axis": "in"},
}
CASES = [
    (pattern, distribution)
    for pattern in PATTERNS
    for distribution in ("uniform", "erk", "global", "lamp")
    if pattern != "2:4" or distribution == "uniform"
]


class ThreadWorkers(Workers):
    """Threads that meet at a barrier."""

    def __init__(self, rank, count, table, barrier):
        self.rank, self.count, self._table, self._barrier = rank, count, table, barrier

    def _all(self, mine):
        self._table[self.rank] = mine
        self._barrier.wait(30)
        everyone = list(self._table)
        self._barrier.wait(30)
        return everyone

    def total(self, numbers):
        return sum(self._all(numbers))

    def exchange(self, parcels):
        return [sent[self.rank].copy() for sent in self._all(list(parcels))]


class Held(Weight):
    """Some elements of a weight, by their canonical indices."""

    def __init__(self, spec, values, index):
        self.spec, self._values, self._index = spec, values.reshape(-1)[index], index

    def read(self):
        return self._values

    def index(self, places):
        return self._index[places]

    def everywhere(self):
        return self._index


class Whole(Weight):
    def __init__(self, spec, values):
        self.spec, self._values = spec, values

    def read(self):
        return self._values


def model(rng, dtype, levels):
    """Three weights; few levels make many ties."""
    shapes = {"fc": ("dense", (13, 10)), "conv": ("conv", (6, 5, 3, 3)), "rnn": ("rnn", (3, 5, 7))}
    weights = []
    for name, (kind, shape) in shapes.items():
        spec = WeightSpec(name, kind, "kernel", shape, np.dtype(dtype).name, name)
        values = rng.integers(-levels, levels + 1, shape) / levels
        weights.append(Whole(spec, values.astype(dtype)))
    return weights


def shares(rng, weights, count, even):
    """Deal each weight's elements to workers: in runs of rows, or wildly."""
    dealt = [[] for _ in range(count)]
    for weight in weights:
        size = weight.spec.size
        owner = np.arange(size) * count // size if even else rng.integers(0, count, size)
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
    return policy.settled_rules[0].method


def on_workers(count, work):
    """Run ``work(workers)`` on each worker; return what each gave, or raise the first error."""
    table, barrier = [None] * count, threading.Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        running = [
            pool.submit(work, ThreadWorkers(rank, count, table, barrier)) for rank in range(count)
        ]
        return [each.result(60) for each in running]


def assemble(specs, dealt, parts):
    whole = {}
    for number, spec in enumerate(specs):
        mask = np.zeros(spec.size, bool)
        for held, part in zip(dealt, parts, strict=True):
            mask[held[number].everywhere()] = part[spec.name]
        whole[spec.name] = mask.reshape(spec.shape)
    return whole


@pytest.fixture(params=[8, 1 << 15], ids=["many rounds", "one round"])
def _rounds(request, monkeypatch):
    for module in (exchange, lamp):
        monkeypatch.setattr(module, "AT_ONCE", request.param)


@pytest.mark.usefixtures("_rounds")
@pytest.mark.parametrize(("count", "even"), [(1, True), (2, True), (3, False)])
@pytest.mark.parametrize(("pattern", "distribution"), CASES)
def test_sharded_masks_are_those_of_the_whole(pattern, distribution, count, even):
    rng = np.random.default_rng(count)
    for dtype, levels in ((np.float32, 10**6), (np.float32, 3), (ml_dtypes.bfloat16, 50)):
        weights = model(rng, dtype, levels)
        specs = [weight.spec for weight in weights]
        method = method_of(pattern, distribution)
        first = masks.compute(method, weights, 0.4)
        second = masks.compute(method, weights, 0.7, 5, first)
        dealt = shares(rng, weights, count, even)

        def work(workers, method=method, dealt=dealt):
            mine = dealt[workers.rank]
            begun = masks.compute(method, mine, 0.4, 0, None, workers)
            return begun, masks.compute(method, mine, 0.7, 5, begun, workers)

        parts = on_workers(count, work)
        for which, expected in enumerate((first, second)):
            found = assemble(specs, dealt, [part[which] for part in parts])
            for name, mask in expected.items():
                np.testing.assert_array_equal(found[name], mask)


def test_chance_is_the_same_on_shards():
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 100)
    method = method_of("block 4x1", "global", "random")
    dealt = shares(rng, weights, 3, even=False)
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


def test_a_nan_on_one_worker_is_an_error_on_all():
    rng = np.random.default_rng(0)
    weights = model(rng, np.float32, 100)
    weights[1].read()[2, 3, 1, 0] = np.nan
    method = method_of("unstructured", "global")
    dealt = shares(rng, weights, 2, even=True)

    def work(workers):
        with pytest.raises(WeightError) as raised:
            masks.compute(method, dealt[workers.rank], 0.7, 0, None, workers)
        return str(raised.value)

    texts = sorted(on_workers(2, work))
    assert "another worker" in texts[0]
    assert "conv: the value at (2, 3, 1, 0) (canonical) is nan" in texts[1]
