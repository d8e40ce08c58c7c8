"""What each kind of layer computes from its canonical weights, in NumPy and float64.

This pins the canonical layout by meaning: a wrong gate order or a flipped kernel changes
the outputs.  No bias; stride 1, no padding; recurrent layers start from zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product

import numpy as np

from secateur.layout import Array

Weights = Mapping[str, Array]
_CHANNELS = (slice(None), slice(None))


def dense(inputs: Array, weights: Weights) -> Array:
    """``(batch, in)`` to ``(batch, out)``."""
    return np.asarray(inputs @ weights["kernel"].T)


def convolution(inputs: Array, weights: Weights, groups: int = 1) -> Array:
    """``(batch, in, *spatial)`` to ``(batch, out, *spatial)``, in `groups` groups of channels."""
    kernel = weights["kernel"]
    spatial = kernel.shape[2:]
    sizes = [n - k + 1 for n, k in zip(inputs.shape[2:], spatial, strict=True)]
    parts = []
    for x, w in zip(np.split(inputs, groups, 1), np.split(kernel, groups, 0), strict=True):
        total = np.zeros((len(x), len(w), *sizes))
        for at in _positions(spatial):
            window = tuple(slice(p, p + n) for p, n in zip(at, sizes, strict=True))
            total += np.einsum("bi...,oi->bo...", x[_CHANNELS + window], w[_CHANNELS + at])
        parts.append(total)
    return np.concatenate(parts, 1)


def transposed_convolution(inputs: Array, weights: Weights) -> Array:
    """Spread each input position over the extent of the kernel: the gradient of a convolution."""
    kernel = weights["kernel"]
    spatial = kernel.shape[2:]
    sizes = [n + k - 1 for n, k in zip(inputs.shape[2:], spatial, strict=True)]
    total = np.zeros((len(inputs), len(kernel), *sizes))
    for at in _positions(spatial):
        window = tuple(slice(p, p + n) for p, n in zip(at, inputs.shape[2:], strict=True))
        total[_CHANNELS + window] += np.einsum("bi...,oi->bo...", inputs, kernel[_CHANNELS + at])
    return total


def embedding(inputs: Array, weights: Weights) -> Array:
    """Row numbers to rows."""
    return weights["embedding"][inputs]


def simple_rnn(inputs: Array, weights: Weights) -> Array:
    """``(batch, time, in)`` to every state, ``(batch, time, out)``, with tanh."""
    states = []
    state = np.zeros((len(inputs), weights["recurrent"].shape[2]))
    for x in _gates(inputs, weights["kernel"]):
        state = np.tanh(x[0] + _gate(weights["recurrent"], 0, state))
        states.append(state)
    return np.stack(states, 1)


def lstm(inputs: Array, weights: Weights) -> Array:
    """As `simple_rnn`; gates i, f, g, o."""
    recurrent = weights["recurrent"]
    states = []
    state = cell = np.zeros((len(inputs), recurrent.shape[2]))
    for x in _gates(inputs, weights["kernel"]):
        i, f, g, o = (x[gate] + _gate(recurrent, gate, state) for gate in range(4))
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        state = _sigmoid(o) * np.tanh(cell)
        states.append(state)
    return np.stack(states, 1)


def gru(inputs: Array, weights: Weights) -> Array:
    """As `simple_rnn`; gates r, z, n, the reset gate applied after the product."""
    recurrent = weights["recurrent"]
    states = []
    state = np.zeros((len(inputs), recurrent.shape[2]))
    for x in _gates(inputs, weights["kernel"]):
        r, z = (_sigmoid(x[gate] + _gate(recurrent, gate, state)) for gate in range(2))
        n = np.tanh(x[2] + r * _gate(recurrent, 2, state))
        state = (1 - z) * n + z * state
        states.append(state)
    return np.stack(states, 1)


def attention(inputs: Array, weights: Weights, heads: int = 1) -> Array:
    """Self-attention over ``(batch, time, in)``, with scaled dot products."""
    query, key, value = (
        np.stack(np.split(inputs @ weights[role].T, heads, -1), 1)
        for role in ("query", "key", "value")
    )
    scores = np.exp(query @ key.swapaxes(-1, -2) / np.sqrt(query.shape[-1]))
    mixed = scores / scores.sum(-1, keepdims=True) @ value
    return np.concatenate(list(mixed.swapaxes(0, 1)), -1) @ weights["output"].T


def _positions(spatial: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return product(*(range(size) for size in spatial))


def _gates(inputs: Array, kernel: Array) -> Iterator[Array]:
    """Yield the inputs of all gates, ``(gate, batch, out)``, for each time."""
    yield from np.einsum("bti,goi->tgbo", inputs, kernel)


def _gate(recurrent: Array, gate: int, state: Array) -> Array:
    return np.asarray(state @ recurrent[gate].T)


def _sigmoid(x: Array) -> Array:
    result: Array = 1 / (1 + np.exp(-x))
    return result
