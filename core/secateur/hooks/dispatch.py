"""Which adapter a model belongs to."""

from __future__ import annotations

from typing import Any

from secateur.adapter import Adapter, Binding
from secateur.errors import ModelError
from secateur.hooks.registry import registry


def bind(model: Any) -> Binding:
    """Return the model, bound by the one adapter that knows it; changes nothing in it.

    Raises ModelError when no adapter knows the model, several do, or it cannot be bound yet.
    """
    return adapter_of(model).bind(model)


def adapter_of(model: Any) -> Adapter:
    """Return the one adapter whose model this is."""
    adapters = registry().adapters()
    matching = registry().adapters_of(model)
    if len(matching) == 1:
        return matching[0]
    names = ", ".join(adapter.name for adapter in adapters)
    kind = f"{type(model).__module__}.{type(model).__qualname__}"
    if matching:
        claims = ", ".join(adapter.name for adapter in matching)
        raise ModelError(
            f"{kind} is claimed by several adapters: {claims}. Set SECATEUR_DISABLE_PLUGINS to "
            "all of them but one."
        )
    hints = [hint for adapter in adapters if (hint := adapter.hint(model))]
    raise ModelError(
        f"no adapter knows a model of type {kind}; there are adapters for: {names}. "
        + (" ".join(hints) or "Pass a Keras model, a torch.nn.Module, or {name: array}.")
    )
