"""Weights of real size, at which selection samples, brackets and uses threads."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.adapter import WeightSpec
from secateur.components.criteria import Magnitude
from secateur.selection.elements import Elements
from secateur.selection.select import select

NORMAL = np.random.default_rng(7).standard_normal((700, 900)).astype(np.float32)
VALUES = {
    "normal": NORMAL,
    "rounded": np.round(NORMAL * 4),
    "ternary": np.sign(np.round(NORMAL)),
    "pruned": np.where(np.abs(NORMAL) > 1.2816, NORMAL, np.float32(0)),
    "sorted": np.sort(NORMAL, axis=None).reshape(NORMAL.shape),
    "rows of different scale": NORMAL * np.logspace(-6, 6, 700, dtype=np.float32)[:, None],
    "float16": NORMAL.astype(np.float16),
}


def elements(values):
    return Elements(
        WeightSpec("w", "dense", "kernel", values.shape, values.dtype.name, "w"),
        values,
        Magnitude(),
    )


def by_stable_sort(values):
    return np.argsort(-np.abs(values).reshape(-1).astype(np.float64), kind="stable")


@pytest.mark.sampled(5)
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_masks_equal_those_of_a_stable_sort(name, transposed, sharded):
    values = VALUES[name].T if transposed else VALUES[name]
    order = by_stable_sort(values)
    alive = np.count_nonzero(values)
    for keep in (1, values.size // 5, alive - 1, alive, alive + 1, values.size - 1):
        wanted = np.zeros(values.size, bool)
        wanted[order[: min(keep, values.size)]] = True
        groups = elements(values)
        if sharded:
            groups.as_part_of(groups.count, lambda index: index)
        mask = select([groups], min(keep, values.size))[0]
        np.testing.assert_array_equal(mask.reshape(-1), wanted)
