"""Registers the adapter.  Imports neither JAX nor Flax: a model of theirs needs them first."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from secateur import hookimpl
from secateur.adapter import Adapter, Binding

if TYPE_CHECKING:
    from flax import nnx


class FlaxAdapter(Adapter):
    """Binds any `flax.nnx.Module`."""

    name = "flax"

    def matches(self, model: object) -> bool:
        return _is_module("flax.nnx", model)

    def hint(self, model: object) -> str | None:
        if _is_module("flax.linen", model):
            return "A flax.linen Module holds no weights; build the model with flax.nnx."
        return None

    def bind(self, model: nnx.Module) -> Binding:
        from secateur_flax.binding import bind

        return bind(model)


def _is_module(package: str, model: object) -> bool:
    module: Any = getattr(sys.modules.get(package), "Module", None)
    return module is not None and isinstance(model, module)


@hookimpl
def secateur_adapters() -> list[Adapter]:
    return [FlaxAdapter()]
