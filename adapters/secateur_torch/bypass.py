"""Whether a model passes a layer by, and computes with other values of its weight itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from torch import nn

from secateur.adapter import bypassed_layers
from secateur_torch.forward import lookup
from secateur_torch.layers import is_of_torch
from secateur_torch.operations import FORWARDS
from secateur_torch.weight_flow.calls import trace
from secateur_torch.weight_flow.scope import Method, OtherValues, Scope

_ADAPTER = "a factor of an adapter (PEFT); its zeros would be none in the weight that it adds to"


def bypass_reasons(cls: type[nn.Module]) -> Mapping[str, str]:
    """Return why layers that a class holds must be left dense, by their paths from it.

    A layer counts as passed by when its weight is used as ``self.layer.weight``, other than
    straight in an operation, and the layer itself is never called or passed on.  In a path, ``*``
    stands for each layer of a container, as in ``for layer in self.layers``.  Embeddings are
    no matter here: a table of queries or positions is what the model computes on.

    Args:
        cls: The class of a module that holds layers.

    Example:
        >>> class LowRank(nn.Module):
        ...     def forward(self, x):
        ...         return nn.functional.linear(x, self.full.weight + self.b @ self.a)
        >>> list(bypass_reasons(LowRank))
        ['full']

    """
    known: Any = cls
    return {} if is_of_torch(cls) else {**_reasons(known), **_adapter_reasons(known)}


def _adapter_reasons(cls: Any) -> Mapping[str, str]:
    """Return why the factors that PEFT adds to a layer are left dense, such as LoRA's two."""
    bases = (base for base in cls.__mro__ if base.__name__ == "BaseTunerLayer")
    if not any(base.__module__.startswith("peft.") for base in bases):
        return {}
    return {f"{factor}.*": _ADAPTER for factor in cls.adapter_layer_names}


@lru_cache(maxsize=512)
def _reasons(cls: Any) -> Mapping[str, str]:
    passed_by = sorted(bypassed_layers(cls, "weight", FORWARDS, is_of_torch))
    touches = {layer: _touch(cls, f"{layer}.weight") for layer in passed_by}
    return {
        layer: (
            f"{cls.__name__} does not call it and touches its weight: it {touch}, so other values "
            "may be computed with; a plugin's secateur_layer_weights hook can teach it"
        )
        for layer, touch in touches.items()
        if touch
    }


def _touch(cls: type[nn.Module], weight: str) -> str | None:
    """Return what the forward of a class does with a weight, if it is not used as it is."""
    forward = lookup(cls)("forward", None)
    if not isinstance(forward, Method):
        return None
    try:
        trace(forward.function, Scope(frozenset((weight,)), lookup(cls)), owner=forward.owner)
    except OtherValues as other:
        return str(other)
    except RecursionError:
        return None
    return None
