"""How much a call prunes, and which of some scores it keeps."""

from __future__ import annotations

import numbers

import torch
from torch import Tensor

from secateur import Pooled, WeightSpec, select
from secateur.errors import WeightError
from secateur_torch.weight import to_numpy


def check_amount(amount: float) -> None:
    """Check an amount before the size of what is pruned is known.

    Args:
        amount: A fraction from 0 to 1 as a float, or a count as an integer.

    Raises:
        TypeError: It is no number.
        ValueError: It is a fraction outside 0 to 1, or a negative count.

    Example:
        >>> check_amount(1.5)
        Traceback (most recent call last):
        ValueError: amount=1.5: wanted a float from 0 to 1, or an integer of 0 or more

    """
    if not isinstance(amount, numbers.Real) or isinstance(amount, bool):
        kind = type(amount).__name__
        raise TypeError(f"amount is a {kind}: wanted a float from 0 to 1, or an integer")
    is_count = isinstance(amount, numbers.Integral)
    if amount < 0 or not (is_count or amount <= 1):
        raise ValueError(f"amount={amount}: wanted a float from 0 to 1, or an integer of 0 or more")


def prune_count(amount: float, size: int) -> int:
    """Return how many of `size` units an amount prunes.

    A fraction is rounded in floats and half to even, as by torch.nn.utils.prune.

    Args:
        amount: A fraction as a float, or a count as an integer.
        size: How many units there are.

    Raises:
        ValueError: There are not as many.

    Example:
        >>> prune_count(0.3, 10), prune_count(0.5, 5), prune_count(4, 10)
        (3, 2, 4)

    """
    if not isinstance(amount, numbers.Integral):
        return round(amount * size)
    if amount > size:
        raise ValueError(f"amount={amount} is more than the {size} that are left to prune")
    return int(amount)


def highest(scores: Tensor, keep: int) -> Tensor:
    """Return a bool mask of exactly the `keep` highest scores; of equal ones the first stay.

    Args:
        scores: Scores of any shape.
        keep: How many are kept.

    Raises:
        WeightError: A score is NaN.

    Example:
        >>> highest(torch.tensor([1.0, 3.0, 1.0]), keep=2)
        tensor([ True,  True, False])

    """
    flat = scores.detach().flatten()
    flat = flat if flat.is_floating_point() else flat.double()
    if flat.isnan().any():
        index = int(flat.isnan().nonzero()[0])
        raise WeightError(
            f"the score at position {index} of {len(flat)} is NaN, which cannot be ranked; "
            "nothing was changed. Find where training diverged, and try again."
        )
    name = "scores"
    spec = WeightSpec(name, "dense", "kernel", (len(flat), 1), "float32", name)
    (kept,) = select([Pooled(spec, to_numpy(flat), None)], keep)
    return torch.from_numpy(kept).to(scores.device).view(scores.shape)
