"""A walk over the layers of a model, with the names that users see in plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from secateur.adapter import LayerWeight, Skipped
from secateur.errors import ModelError
from secateur_torch.modules import DIRECTIONS, NORMALISATION, Row, rows_of
from secateur_torch.stored import Stored, Unprunable, find

Custom = Callable[[nn.Module], Sequence[LayerWeight] | None]
"""Asks the plugins for the weights of a layer."""

_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "AveragedModel": "module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
    "FullyShardedDataParallel": "_fsdp_wrapped_module",
}
"""Modules of torch that wrap a model: their own level does not show in names."""


class Found(NamedTuple):
    """A prunable weight of a layer: where it is, and what it is."""

    name: str
    layer: str
    row: LayerWeight
    stored: Stored


def walk(model: nn.Module, custom: Custom) -> Iterator[Found | Skipped]:
    """Go through the layers in the order of registration.

    Shared layers are met once by each of their paths.
    Raises ModelError at a lazy layer that has no weights yet.
    """
    yield from _visit(model, (), type(model).__name__, custom)


def _visit(
    module: nn.Module, path: tuple[str, ...], root: str, custom: Custom
) -> Iterator[Found | Skipped]:
    inner = _WRAPPERS.get(type(module).__name__) if _is_torch(module) else None
    if inner is not None:
        wrapped = module.get_submodule(inner)
        yield from _visit(wrapped, path, root if path else type(wrapped).__name__, custom)
        return
    name = ".".join(path) or root
    if ".quantized." in type(module).__module__:
        yield Skipped(name, f"{type(module).__name__}: quantized; prune before quantizing")
        return
    _refuse_lazy(module, name)
    rows = custom(module)
    if rows is None:
        rows = rows_of(module)
    if rows is None:
        yield from _unknown(module, name)
        rows = ()
    for row in rows:
        part = row.part if isinstance(row, Row) else ""
        path_of_part = f"{name}.{part}" if part else name
        weight = f"{path_of_part}:{row.role}"
        place = ".".join(word for word in part.split(".") if word not in DIRECTIONS.values())
        layer = f"{name}.{place}" if place else name  # both directions are one layer
        try:
            yield Found(weight, layer, row, find(module, row.attribute))
        except Unprunable as reason:
            yield Skipped(weight, f"{type(module).__name__}: {reason}")
    claimed = {row.attribute.split(".")[0] for row in rows}
    if parametrize.is_parametrized(module):
        claimed.add("parametrizations")
    for child_name, child in module._modules.items():  # named_children() leaves repeats out
        if child is not None and child_name not in claimed:
            yield from _visit(child, (*path, child_name), root, custom)


def _is_torch(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.")


def _refuse_lazy(module: nn.Module, name: str) -> None:
    for parameter in module._parameters.values():
        if isinstance(parameter, UninitializedParameter):
            raise ModelError(
                f"{name} ({type(module).__name__}) has no weights yet: a lazy layer gets them "
                "from its first input. Run one batch through the model, then come back."
            )


def _unknown(module: nn.Module, name: str) -> Iterator[Skipped]:
    cls = type(module).__name__
    own = [key for key, parameter in module._parameters.items() if parameter is not None]
    if isinstance(module, NORMALISATION):
        if own:
            yield Skipped(name, f"{cls}: parameters of normalisation are never pruned")
    elif own:
        yield Skipped(
            name,
            f"{cls}: not a layer that the torch adapter knows (it holds {', '.join(own)}); "
            "a plugin's secateur_bindings hook can teach it",
        )
