"""The policies of the tables: each row of a table is a policy for both frameworks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Policy = dict[str, Any]
DENSE = "dense"
_ONE_BY_TWO = {"kind": "block", "out": 1, "in": 2, "pooling": "avg"}
_FOUR_BY_ONE = {"kind": "block", "out": 4, "in": 1, "pooling": "avg"}


def percent(sparsity: float) -> str:
    """Return a sparsity in words.

    Example:
        >>> percent(0.9)
        '90 %'

    """
    return f"{100 * sparsity:.0f} %"


def gradual(sparsity: float, frequency: int, **more: Any) -> Policy:
    """Return a polynomial decay from a tenth of the run to three quarters of it."""
    schedule = {
        "kind": "polynomial",
        "final_sparsity": sparsity,
        "begin_step": "10%",
        "end_step": "75%",
        "frequency": frequency,
    }
    return {"schedule": schedule, **more}


def at_once(sparsity: float, begin: str | int = "50%", **more: Any) -> Policy:
    """Return a policy that prunes everything at one step, half way through the run."""
    schedule = {"kind": "one_shot", "final_sparsity": sparsity, "begin_step": begin}
    return {"schedule": schedule, **more}


def random_masks(sparsity: float) -> Policy:
    """Return a policy of random masks from the first step on; small layers are left denser."""
    return at_once(sparsity, 0, criterion="random", distribution="erk")


def rows_at(sparsity: float, frequency: int, **more: Any) -> Mapping[str, Policy | float]:
    """Return the rows that every table has at a sparsity; a number is a smaller dense network."""
    word = percent(sparsity)
    return {
        f"smaller dense, {word}": sparsity,
        f"random masks, {word}": random_masks(sparsity),
        f"one shot, {word}": at_once(sparsity, **more),
        f"gradual, {word}": gradual(sparsity, frequency, **more),
    }


def blocks_at(sparsity: float, frequency: int, **more: Any) -> Mapping[str, Policy]:
    """Return the rows with blocks at a sparsity."""
    word = percent(sparsity)
    return {
        f"1x2 blocks, {word}": gradual(sparsity, frequency, pattern=_ONE_BY_TWO, **more),
        f"4x1 blocks, {word}": gradual(sparsity, frequency, pattern=_FOUR_BY_ONE, **more),
    }


def two_of_four() -> Policy:
    """Return 2:4 in one step, half way through the run."""
    return at_once(0.5, pattern={"kind": "n_m", "keep": 2, "of": 4})
