"""Names of tensors that differ only by the numbers that a framework appends."""

from __future__ import annotations

import re
from collections.abc import Sequence


def are_renumbered(names: Sequence[str], others: Sequence[str]) -> bool:
    """Return whether two models have the same tensors in the same order under other numbers.

    Keras numbers the layers of a process: the second model that is built has a ``dense_2`` where
    the first one has a ``dense``.

    >>> are_renumbered(["dense.bias", "dense_1.bias"], ["dense_2.bias", "dense_3.bias"])
    True
    >>> are_renumbered(["fc_1.bias", "fc_2.bias"], ["fc_2.bias", "fc_1.bias"])
    False
    """
    if set(names) == set(others):
        return False
    return [*map(_unnumbered, names)] == [*map(_unnumbered, others)]


def _unnumbered(name: str) -> str:
    return re.sub(r"_\d+(?=\.|$)", "", name)
