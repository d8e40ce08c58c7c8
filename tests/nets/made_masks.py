"""A thousand policies on made weights, and a digest of the masks of each.

``python -m tests.nets.made_masks`` rewrites the digests; a release that changes one must say
so in the changelog.  Weights are made of raw 64-bit numbers by exact arithmetic and one
rounding, so that they are the same on every processor and with every version of NumPy.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import secateur

COUNT = 1000
FILE = Path(__file__).with_name("made_masks.json")
SHAPES = {
    "dense": [(8, 12), (17, 5), (1, 9), (30, 31)],
    "conv": [(6, 4, 3, 3), (5, 3, 7), (4, 2, 2, 3, 2)],
    "conv_transpose": [(4, 3, 3, 2)],
    "depthwise": [(8, 1, 3, 3)],
    "embedding": [(20, 6)],
    "rnn": [(4, 6, 5), (3, 7, 7), (1, 4, 4)],
    "attention": [(12, 12)],
    "expert": [(3, 5, 8)],
}
DTYPES = ("float32", "float64", "float16")
VALUES = ("smooth", "rounded", "ternary", "zeros")
PATTERNS: list[dict[str, Any]] = [
    {"kind": "unstructured"},
    {"kind": "block", "out": 4, "in": 1},
    {"kind": "block", "out": 2, "in": 3, "pooling": "max"},
    {"kind": "block", "out": 1, "in": 4},
    {"kind": "n_m", "keep": 2, "of": 4},
    {"kind": "n_m", "keep": 1, "of": 3},
    {"kind": "channel", "axis": "out"},
    {"kind": "channel", "axis": "in"},
]
DISTRIBUTIONS = ("uniform", "erk", "global", "lamp")
SPARSITIES = (0.0, 0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)


class Dice:
    """Raw 64-bit numbers of PCG64, whose stream NumPy keeps for ever, taken by remainders."""

    def __init__(self, seed: int) -> None:
        self._raw = np.random.PCG64(seed)

    def choose(self, options: Sequence[Any]) -> Any:
        """Return one of the options."""
        return options[int(self._raw.random_raw()) % len(options)]

    def values(self, shape: tuple[int, ...], how: str, dtype: str) -> np.ndarray:
        """Return an array of values that are exact in every dtype."""
        raw = self._raw.random_raw(int(np.prod(shape))).reshape(shape)
        signed = (raw >> np.uint64(40)).astype(np.int64) - (1 << 23)
        if how == "smooth":
            return (signed / 2.0**22).astype(dtype)
        if how == "rounded":
            return (signed >> 20).astype(dtype)
        ternary = np.sign(signed >> 22).astype(dtype)
        return ternary if how == "ternary" else ternary * 0


def case(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the model and the policy of one number."""
    dice = Dice(number)
    pattern, distribution = dice.choose(PATTERNS), dice.choose(DISTRIBUTIONS)
    count = 1 + dice.choose(range(3))
    dtype = dice.choose(DTYPES)
    model = {}
    for place in range(count):
        kind = dice.choose(sorted(SHAPES))
        shape = dice.choose(SHAPES[kind])
        model[f"w{place}"] = (dice.values(shape, dice.choose(VALUES), dtype), kind)
    schedule = {"kind": "one_shot", "final_sparsity": dice.choose(SPARSITIES)}
    criterion = dice.choose(["magnitude", "magnitude", {"kind": "random", "seed": number}])
    if pattern["kind"] == "n_m":
        distribution = "uniform"
    return model, {
        "schedule": schedule,
        "pattern": pattern,
        "distribution": distribution,
        "criterion": criterion,
    }


def digest(number: int) -> str:
    """Return the digest of the masks of one case."""
    model, policy = case(number)
    report = secateur.prune(model, policy)
    state = hashlib.sha256()
    for name in sorted(report.masks):
        mask = report.masks[name]
        state.update(f"{name}{mask.shape}".encode() + np.packbits(mask.reshape(-1)).tobytes())
    return state.hexdigest()[:16]


def digests() -> Iterator[str]:
    """Yield the digest of every case."""
    yield from map(digest, range(COUNT))


if __name__ == "__main__":
    FILE.write_text(json.dumps(list(digests()), indent=0) + "\n")
