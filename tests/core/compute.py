"""Masks of arrays by the parts behind the public verbs, which accept read-only arrays."""

from __future__ import annotations

from secateur.masks import compute as masks
from secateur.numpy_adapter import NumpyAdapter
from secateur.policy.policy import as_policy

SCHEDULE = {"kind": "one_shot", "final_sparsity": 0.5}


def method(sparsity=0.5, **settings):
    """The method of a policy of one rule."""
    policy = as_policy({"schedule": SCHEDULE | {"final_sparsity": sparsity}, **settings})
    return policy.resolved_rules[0].method


def masks_of(arrays, sparsity, step=0, previous=None, kind="dense", **settings):
    """The masks of some arrays, as a list."""
    model = {f"w{number}": (array, kind) for number, array in enumerate(arrays)}
    weights = NumpyAdapter().bind(model).weights
    found = masks.compute(method(sparsity, **settings), weights, sparsity, step, previous)
    return [found[name] for name in model]


def mask_of(array, sparsity, **settings):
    return masks_of([array], sparsity, **settings)[0]
