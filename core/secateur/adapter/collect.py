"""What adapters do alike: collect weights under all their names, and say what is left dense."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from secateur.adapter.weights import LayerWeight, Skipped

T = TypeVar("T")

NORMALIZATION = "parameters of normalization are never pruned"
NOT_PRUNABLE = "not a prunable weight of its layer"
QUANTIZED = "prune before quantizing"


class Unprunable(Exception):  # noqa: N818 - not an error: the reason why a layer is skipped
    """A layer, or an attribute of one, must be left dense; the message is the reason.

    Example:
        >>> raise Unprunable("LoRA adds to the kernel")
        Traceback (most recent call last):
        secateur.adapter.collect.Unprunable: LoRA adds to the kernel

    """


@dataclass(frozen=True)
class Found(Generic[T]):
    """A prunable weight as a walk over a model meets it.

    Attributes:
        name: Its name on this path, such as ``encoder.0.ffn:kernel``.
        layer: The layer that it belongs to.
        entry: The entry of the adapter's table that describes it.
        identity: Equal for two names of one weight, and for nothing else.
        where: The framework's own handle on the values.

    Example:
        >>> Found("fc:kernel", "fc", LayerWeight("w", "dense"), identity=1, where=None).name
        'fc:kernel'

    """

    name: str
    layer: str
    entry: LayerWeight
    identity: Hashable
    where: T


@dataclass(frozen=True)
class Collected(Generic[T]):
    """A prunable weight, once, with all the names under which it was met.

    Attributes:
        found: The weight as it was met first.
        aliases: Its other names, in the order in which they were met.

    Example:
        >>> weight = Found("fc:kernel", "fc", LayerWeight("w", "dense"), 1, None)
        >>> Collected(weight, ("head:kernel",)).aliases
        ('head:kernel',)

    """

    found: Found[T]
    aliases: tuple[str, ...]


def collect(
    walk: Iterable[Found[T] | Skipped],
) -> tuple[list[Collected[T]], list[Skipped]]:
    """Return each weight of a walk once, and what is left dense, in the order of the walk.

    Args:
        walk: Everything that a walk over a model meets.

    Returns:
        The weights, tied ones under all their names, and the layers that are left dense.

    Example:
        >>> entry = LayerWeight("w", "dense")
        >>> tied = [Found(name, name, entry, 7, None) for name in ("in:kernel", "out:kernel")]
        >>> weights, skipped = collect([*tied, Skipped("norm", NORMALIZATION)])
        >>> weights[0].found.name, weights[0].aliases, len(skipped)
        ('in:kernel', ('out:kernel',), 1)

    """
    first: dict[Hashable, Found[T]] = {}
    names: dict[Hashable, list[str]] = {}
    skipped: list[Skipped] = []
    for met in walk:
        if isinstance(met, Skipped):
            skipped.append(met)
            continue
        first.setdefault(met.identity, met)
        names.setdefault(met.identity, []).append(met.name)
    weights = [
        Collected(found, tuple(dict.fromkeys(names[identity]))[1:])
        for identity, found in first.items()
    ]
    return weights, list(dict.fromkeys(skipped))


def unknown_layer(adapter: str, layer: str, holds: Sequence[str]) -> str:
    """Return the reason why a layer of an unknown class is left dense.

    Args:
        adapter: The adapter's name.
        layer: The name of the layer's class.
        holds: The names of the parameters that it holds itself.

    Example:
        >>> unknown_layer("torch", "Outer", ["left"])
        "Outer: the torch adapter does not know this layer (it holds left); a plugin's ..."

    """
    return (
        f"{layer}: the {adapter} adapter does not know this layer (it holds {', '.join(holds)}); "
        "a plugin's secateur_layer_weights hook can teach it"
    )
