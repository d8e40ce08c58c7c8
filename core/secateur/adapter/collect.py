"""What adapters do alike: collect weights under all their names, and explain what is left dense."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from secateur.adapter.weights import LayerWeight, Skipped

T = TypeVar("T")

NORMALIZATION = "parameters of normalization are never pruned"
NOT_PRUNABLE = "not a prunable weight of its layer"
QUANTIZED = "prune before quantizing"
ATTACH_AGAIN = "; call pruner.detach(), and attach again"
"""How a note on a changed weight ends; `Pruner.detach`, which is that call, leaves it out."""


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
        met: Where in the walk it was met, and in which layer, each time.

    Example:
        >>> weight = Found("fc:kernel", "fc", LayerWeight("w", "dense"), 1, None)
        >>> Collected(weight, ("head:kernel",), met=((0, "fc"), (5, "head"))).alias_layers
        ('head',)

    """

    found: Found[T]
    aliases: tuple[str, ...]
    met: tuple[tuple[int, str], ...] = ()

    @property
    def alias_layers(self) -> tuple[str, ...]:
        """The other layers that a tied weight belongs to, for `WeightSpec.alias_layers`."""
        layers = dict.fromkeys(layer for _, layer in self.met)
        return tuple(layer for layer in layers if layer != self.found.layer)


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
    meetings: dict[Hashable, list[tuple[int, Found[T]]]] = {}
    skipped: list[Skipped] = []
    for position, met in enumerate(walk):
        if isinstance(met, Skipped):
            skipped.append(met)
        else:
            meetings.setdefault(met.identity, []).append((position, met))
    return [_collected(each) for each in meetings.values()], list(dict.fromkeys(skipped))


def _collected(meetings: Sequence[tuple[int, Found[T]]]) -> Collected[T]:
    names = dict.fromkeys(found.name for _, found in meetings)
    met = tuple((position, found.layer) for position, found in meetings)
    return Collected(meetings[0][1], tuple(names)[1:], met)


def layer_order(weights: Iterable[Collected[T]]) -> tuple[str, ...]:
    """Return every layer that holds a weight, in the order of the walk, for `Binding.layers`.

    A tied weight stands in each of its layers: a head that is tied to the embedding is the last
    layer, as it is in a model without ties.

    Args:
        weights: What `collect` returns.

    Example:
        >>> entry = LayerWeight("w", "dense")
        >>> walk = [("in", 7), ("mid", 8), ("out", 7)]
        >>> found = [Found(f"{name}:kernel", name, entry, key, None) for name, key in walk]
        >>> layer_order(collect(found)[0])
        ('in', 'mid', 'out')

    """
    return tuple(dict.fromkeys(layer for _, layer in sorted(m for w in weights for m in w.met)))


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
