"""Names of tensors that differ by the numbers that a framework appends, or by its words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

_NORMALIZATION = (
    ("weight", "gamma", "scale"),
    ("bias", "beta"),
    ("running_mean", "moving_mean", "mean"),
    ("running_var", "moving_variance", "var"),
)
"""What PyTorch, Keras and Flax call the same vector of a normalization layer."""


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


def synonyms(name: str) -> Iterator[str]:
    """Yield what other frameworks call a vector of a normalization layer.

    >>> list(synonyms("block.norm.moving_variance"))
    ['block.norm.running_var', 'block.norm.var']
    """
    layer, dot, word = name.rpartition(".")
    for words in _NORMALIZATION:
        if word in words:
            yield from (f"{layer}{dot}{other}" for other in words if other != word)


def counts_batches(name: str) -> bool:
    """Return whether a tensor is the counter of batches that PyTorch alone has.

    >>> counts_batches("norm.num_batches_tracked")
    True
    """
    return name.rpartition(".")[2] == "num_batches_tracked"
