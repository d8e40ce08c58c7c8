"""Masks made one weight at a time, from a file, are those that are made in memory, bit for bit."""

from __future__ import annotations

from itertools import product

import ml_dtypes
import numpy as np
import pytest

import secateur
from secateur.arrays import sizes
from secateur.arrays.chunks import pieces
from secateur.arrays.stored import StoredArray
from secateur.masks.compute import compute
from secateur.masks.one_by_one import masks_of
from secateur.numpy_adapter import NumpyAdapter
from secateur.policy.policy import as_policy
from secateur.run.resolve import resolve

PATTERNS = [
    {"kind": "unstructured"},
    {"kind": "block", "out": 2, "in": 3, "pooling": "avg"},
    {"kind": "block", "out": 4, "in": 1, "pooling": "max"},
    {"kind": "n_m", "keep": 2, "of": 4},
    {"kind": "channel"},
    {"kind": "channel", "axis": "in"},
]
DTYPES = {
    "float32": lambda name, values: values.astype(np.float32),
    "ties": lambda name, values: values.round().astype(np.float64),
    "bfloat16": lambda name, values: values.astype(ml_dtypes.bfloat16),
    "two": lambda name, values: values.astype(np.float16 if name in "ac" else np.float32),
}
SHAPES = {"a": (12, 20), "b": (7, 9, 3, 3), "c": (33, 5), "d": (12, 20), "e": (15, 17)}


class Centered(secateur.Criterion):
    """Scores a weight as a whole."""

    kind = "centered"

    def score(self, weight, context):
        return np.abs(weight - weight.mean(dtype=np.float64)).astype(np.float64)


class Halves(secateur.Distribution):
    """Selects by itself."""

    kind = "halves"

    def select(self, groups, sparsity, workers=None):
        return [np.arange(group.size).reshape(group.shape) % 2 == 0 for group in groups]


class Plugin:
    @secateur.hookimpl
    def secateur_criteria(self):
        return [Centered]

    @secateur.hookimpl
    def secateur_distributions(self):
        return [Halves]


@pytest.fixture
def _plugin():
    secateur.register(Plugin(), "one by one")
    yield
    secateur.unregister("one by one")


@pytest.fixture
def _small_pieces(monkeypatch):
    small = {
        "CHUNK": 64,
        "COMPARED": 64,
        "SPAN": 128,
        "SMALL": 16,
        "COUNTED": 32,
        "POOLED": 48,
        "GATHERED": 32,
    }
    for name, value in small.items():
        monkeypatch.setattr(sizes, name, value)


class InFile:
    """A weight whose values are read from where they lie, by small pieces."""

    here = True

    def __init__(self, weight):
        self.spec, self._array = weight.spec, weight.read()
        self.dtype = self._array.dtype

    def values(self):
        axes = tuple(np.argsort([-stride for stride in self._array.strides], kind="stable"))
        flat = self._array.transpose(axes).reshape(-1)
        return StoredArray(
            lambda start, stop: flat[start:stop].copy(), self.dtype, self.spec.shape, axes
        )


def arrays(dtype):
    random = np.random.default_rng(0)
    made = {name: DTYPES[dtype](name, random.normal(size=shape)) for name, shape in SHAPES.items()}
    made["e"] = np.asfortranarray(made["e"])  # as Keras keeps a kernel
    made["f"] = made["a"].copy()  # whose ties are decided by the digest
    return made


@pytest.mark.sampled(4)
@pytest.mark.usefixtures("_plugin", "_small_pieces")
@pytest.mark.parametrize(
    "pattern", PATTERNS, ids=lambda pattern: "-".join(map(str, pattern.values()))
)
def test_masks_from_a_file_are_those_of_memory(pattern):
    limit = {"value": 3.0} if pattern["kind"] == "channel" else {"deviations": 0.8}
    distributions = ["uniform", "erk", "global", "lamp", "halves", {"kind": "threshold", **limit}]
    if pattern["kind"] == "n_m":
        distributions = ["uniform"]
    taken = set()
    scored = [*product(["magnitude"], DTYPES), ("random", "two"), ("centered", "bfloat16")]
    for distribution, (criterion, dtype) in product(distributions, scored):
        if "deviations" in distribution and criterion != "magnitude":
            continue
        binding = NumpyAdapter().bind(arrays(dtype))
        policy = {
            "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
            "distribution": distribution,
            "criterion": criterion,
            "pattern": pattern,
        }
        (rule,) = resolve(as_policy(policy), binding).rule_weights
        wanted = compute(rule.method, binding.weights, rule.method.final)
        stored = [InFile(weight) for weight in binding.weights]
        masks = masks_of(rule.method, stored, rule.method.final)
        for weight in reversed(stored):  # in any order
            case, values = (policy, dtype, weight.spec), weight.values()
            found = masks.whole(weight.spec.name, values)
            assert np.array_equal(found, wanted[weight.spec.name]), case
            if parts := masks.parts(weight.spec.name, values):
                flat = found.transpose(values.axes).reshape(-1)
                length = max(1, 50 // parts.together) * parts.together
                for ends in pieces(0, flat.size, length):
                    part = parts.make(ends[0], values.at(slice(*ends)))
                    assert np.array_equal(part, flat[slice(*ends)]), case
                taken.add((pattern["kind"], distribution, criterion))
    made_in_parts = {"n_m": 2, "unstructured": 6}  # by magnitude, and at random
    assert len(taken) == made_in_parts.get(pattern["kind"], 0)


def test_a_region_of_a_stored_array_is_read_by_its_rows():
    values = np.arange(2 * 30 * 40).reshape(2, 30, 40)
    read = []

    def flat(start, stop):
        read.append(stop - start)
        return values.reshape(-1)[start:stop]

    stored = StoredArray(flat, values.dtype, (40, 2, 30), (1, 2, 0))
    found = stored[3:5, 0:2, 1:29]
    assert np.array_equal(found, values.transpose(2, 0, 1)[3:5, 0:2, 1:29])
    assert sum(read) == found.size
    assert np.array_equal(stored[0:40, 1:2, 0:30], values.transpose(2, 0, 1)[:, 1:2])
    assert np.array_equal(stored.at(np.array([7, 2000, 3])), [7, 2000, 3])
    assert stored.at(np.array([], np.int64)).size == 0
