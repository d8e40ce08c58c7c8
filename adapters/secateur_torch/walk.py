"""A walk over the layers of a model, with the names that users see in plans."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from secateur.adapter import LayerWeight, Skipped
from secateur.errors import ModelError
from secateur_torch.layers import DIRECTIONS, NORMALIZATION_LAYERS, Row, plain_class, rows_of
from secateur_torch.stored import Stored, Unprunable, find
from secateur_torch.weight import canonical_shape

Custom = Callable[[nn.Module], Sequence[LayerWeight] | None]
"""Asks the plugins for the weights of a layer."""

_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "AveragedModel": "module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
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
    Raises ModelError at a lazy layer that has no weights yet, and at FSDP1.
    """
    yield from _visit(model, (), plain_class(model).__name__, custom, frozenset())


def _visit(
    module: nn.Module, path: tuple[str, ...], root: str, custom: Custom, above: frozenset[int]
) -> Iterator[Found | Skipped]:
    cls = plain_class(module)
    inner = _WRAPPERS.get(cls.__name__) if cls.__module__.startswith("torch.") else None
    if inner is not None:
        wrapped = module.get_submodule(inner)
        named = root if path else plain_class(wrapped).__name__
        yield from _visit(wrapped, path, named, custom, above)
        return
    name = ".".join(path) or root
    if ".quantized." in cls.__module__:
        yield Skipped(name, f"{cls.__name__}: quantized; prune before quantizing")
        return
    _refuse_fsdp1(cls, name)
    _refuse_lazy(module, name)
    rows = custom(module)
    if rows is None:
        rows = rows_of(module, cls)
    for row in rows or ():
        part = row.part if isinstance(row, Row) else ""
        path_of_part = f"{name}.{part}" if part else name
        weight = f"{path_of_part}:{row.role}"
        place = ".".join(word for word in part.split(".") if word not in DIRECTIONS.values())
        layer = f"{name}.{place}" if place else name  # both directions are one layer
        try:
            yield Found(weight, layer, row, _fitting(module, row))
        except Unprunable as reason:
            yield Skipped(weight, f"{cls.__name__}: {reason}")
    claimed = {row.attribute.split(".")[0] for row in rows or ()}
    if rows is None:
        yield from _unknown(module, cls, name)
    else:
        yield from _the_rest(module, cls, name, claimed)
    if parametrize.is_parametrized(module):
        claimed.add("parametrizations")
    for child_name, child in module._modules.items():  # named_children() leaves repeats out
        if child is not None and child_name not in claimed and id(child) not in above:
            yield from _visit(child, (*path, child_name), root, custom, above | {id(module)})


def _fitting(module: nn.Module, row: LayerWeight) -> Stored:
    """Find the tensor of a row.  Raises Unprunable when it has not the row's shape."""
    stored = find(module, row.attribute)
    if stored.is_computed and isinstance(row, Row) and row.rows is not None:
        raise Unprunable(f"{row.attribute} packs several weights and is parametrized")
    try:
        canonical_shape(row, stored.parameter)
    except ValueError as error:
        shape = tuple(stored.parameter.shape)
        raise Unprunable(f"{row.attribute} {shape} does not fit the layer ({error})") from None
    return stored


def _the_rest(
    module: nn.Module, cls: type[nn.Module], name: str, claimed: set[str]
) -> Iterator[Skipped]:
    for key, parameter in module._parameters.items():
        if parameter is not None and key not in claimed and "bias" not in key:
            yield Skipped(f"{name}.{key}", f"{cls.__name__}: not a prunable weight of its layer")


def _refuse_fsdp1(cls: type[nn.Module], name: str) -> None:
    if cls.__name__ == "FullyShardedDataParallel":
        raise ModelError(
            f"{name} is sharded by FullyShardedDataParallel (FSDP1), whose flat parameters have "
            "lost the shapes of the weights. Shard with torch.distributed.fsdp.fully_shard."
        )


def _refuse_lazy(module: nn.Module, name: str) -> None:
    for parameter in module._parameters.values():
        if parameter is not None and is_lazy(parameter):
            raise ModelError(
                f"{name} ({type(module).__name__}) has no weights yet: a lazy layer gets them "
                "from its first input. Run one batch through the model, then come back."
            )


def _unknown(module: nn.Module, cls: type[nn.Module], name: str) -> Iterator[Skipped]:
    own = [key for key, parameter in module._parameters.items() if parameter is not None]
    if isinstance(module, NORMALIZATION_LAYERS):
        if own:
            yield Skipped(name, f"{cls.__name__}: parameters of normalisation are never pruned")
    elif own:
        yield Skipped(
            name,
            f"{cls.__name__}: not a layer that the torch adapter knows (it holds "
            f"{', '.join(own)}); a plugin's secateur_layer_weights hook can teach it",
        )
