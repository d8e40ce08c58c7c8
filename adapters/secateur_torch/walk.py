"""A walk over the layers of a model, with the names that users see in plans."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

from secateur.adapter import (
    NORMALIZATION,
    NOT_PRUNABLE,
    QUANTIZED,
    Found,
    LayerWeight,
    Skipped,
    Unprunable,
    below,
    unknown_layer,
)
from secateur.errors import ModelError
from secateur_torch.bypass import bypass_reasons
from secateur_torch.experts import expert_entries
from secateur_torch.forward import other_values_reason
from secateur_torch.layers import (
    DIRECTIONS,
    NORMALIZATION_LAYERS,
    TorchLayerWeight,
    plain_class,
    table_entries,
)
from secateur_torch.memory import memory_range, packed_rows
from secateur_torch.parametrization import ParameterSlot, find_slot
from secateur_torch.weight import canonical_shape

Custom = Callable[[nn.Module], Sequence[LayerWeight] | None]
"""Asks the plugins for the weights of a layer."""

Reasons = Mapping[str, str]
"""Why layers must be left dense, by their paths from a module."""

Met = Found[ParameterSlot] | Skipped
"""What a walk meets: a weight, or what is left dense."""

_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DistributedDataParallel": "module",
    "DataParallel": "module",
    "AveragedModel": "module",
    "CheckpointWrapper": "_checkpoint_wrapped_module",
}
"""Modules of torch that wrap a model: their own level does not show in names."""


def walk(model: nn.Module, custom: Custom) -> Iterator[Met]:
    """Go through the layers in the order of registration.

    Shared layers are met once by each of their paths.

    Args:
        model: The model.
        custom: Asks the plugins for the weights of a layer.

    Raises:
        ModelError: A lazy layer has no weights yet, or the model is sharded by FSDP1.

    """
    visit = _Walk(custom, plain_class(model).__name__)
    yield from visit.module(model, (), frozenset())


@dataclass
class _Walk:
    """One walk.

    Attributes:
        custom: Asks the plugins for the weights of a layer.
        root: The name of a model that is a single layer.
        counted: The ids of the parameters that were counted as left dense.

    """

    custom: Custom
    root: str
    counted: set[int] = field(default_factory=set)

    def module(
        self,
        module: nn.Module,
        path: tuple[str, ...],
        above: frozenset[int],
        passed_by: Reasons = {},  # noqa: B006 - never changed
    ) -> Iterator[Met]:
        """Meet a module and all that it holds.

        Args:
            module: The module.
            path: Where it is in the model.
            above: The ids of the modules that hold it.
            passed_by: Why modules that hold it may compute with other values, by the paths from
                here of the layers that they pass by; an empty one is the module itself.

        """
        cls = plain_class(module)
        inner = _WRAPPERS.get(cls.__name__) if cls.__module__.startswith("torch.") else None
        if inner is not None:
            wrapped = module.get_submodule(inner)
            if not path:
                self.root = plain_class(wrapped).__name__
            yield from self.module(wrapped, path, above, passed_by)
            return
        name = ".".join(path) or self.root
        if ".quantized." in cls.__module__:
            yield Skipped(name, f"{cls.__name__}: quantized; {QUANTIZED}")
            return
        if advice := _graph_advice(cls):
            if not path:
                raise ModelError(f"a {cls.__name__} {advice}")
            yield Skipped(name, f"{cls.__name__} {advice}", self._size(module.parameters()))
            return
        _refuse_fsdp1(cls, name)
        _refuse_lazy(module, name)
        entries, other_values = self._entries(module, cls, passed_by.get(""))
        yield from self._weights(module, cls, name, entries or (), other_values)
        claimed = {entry.attribute.split(".")[0] for entry in entries or ()}
        yield from self._rest(module, cls, name, claimed, known=entries is not None)
        if parametrize.is_parametrized(module):
            claimed.add("parametrizations")
        reasons, inside = {**passed_by, **bypass_reasons(cls)}, above | {id(module)}
        for key, child in module._modules.items():  # named_children() leaves repeats out
            if child is not None and key not in claimed and id(child) not in above:
                yield from self.module(child, (*path, key), inside, below(reasons, key))

    def _entries(
        self, module: nn.Module, cls: type[nn.Module], passed_by: str | None
    ) -> tuple[Sequence[LayerWeight] | None, str | None]:
        """Return the weights of a layer, None if it is not known, and why they stay dense."""
        from_plugins = self.custom(module)
        if from_plugins is not None:
            return from_plugins, None
        entries = table_entries(module, cls)
        if entries is None:
            return expert_entries(module, cls), None
        attributes = [entry.attribute for entry in entries]
        if any(entry.kind == "embedding" for entry in entries):
            passed_by = None
        if passed_by is None and attributes:
            passed_by = other_values_reason(module, cls, attributes)
        return entries, passed_by

    def _weights(
        self,
        module: nn.Module,
        cls: type[nn.Module],
        name: str,
        entries: Sequence[LayerWeight],
        unprunable: str | None,
    ) -> Iterator[Met]:
        for entry in entries:
            weight, layer = _names(name, entry)
            try:
                slot = _fitting_slot(module, entry)
                if unprunable:
                    raise Unprunable(unprunable)
            except Unprunable as reason:
                size = self._size(_stored_tensors(module, entry.attribute))
                yield Skipped(weight, f"{cls.__name__}: {reason}", size)
            else:
                yield Found(weight, layer, entry, memory_range(slot.parameter, entry), slot)

    def _rest(
        self, module: nn.Module, cls: type[nn.Module], name: str, claimed: set[str], known: bool
    ) -> Iterator[Met]:
        """Meet the parameters that a layer holds besides its prunable weights."""
        own = {k: p for k, p in module._parameters.items() if p is not None and k not in claimed}
        if known:
            for key, parameter in own.items():
                if "bias" not in key:
                    reason = f"{cls.__name__}: {NOT_PRUNABLE}"
                    yield Skipped(f"{name}.{key}", reason, self._size([parameter]))
        elif own:
            yield Skipped(name, _unknown_reason(module, cls, own), self._size(own.values()))

    def _size(self, parameters: Iterable[Tensor]) -> int:
        """Return how many values the parameters have that were not counted before."""
        new = {id(each): each for each in parameters if id(each) not in self.counted}
        self.counted |= new.keys()
        return sum(each.numel() for each in new.values())


def _unknown_reason(module: nn.Module, cls: type[nn.Module], own: Mapping[str, Tensor]) -> str:
    """Return why a layer of an unknown class is left dense."""
    only_vectors = all(parameter.ndim < 2 for parameter in own.values())
    if isinstance(module, NORMALIZATION_LAYERS) or (
        only_vectors and "norm" in cls.__name__.lower()
    ):
        return f"{cls.__name__}: {NORMALIZATION}"
    if only_vectors:
        return f"{cls.__name__}: {NOT_PRUNABLE}"
    return unknown_layer("torch", cls.__name__, list(own))


def _names(layer: str, entry: LayerWeight) -> tuple[str, str]:
    """Return the name of a weight, and of the layer whose position it has."""
    part = entry.part if isinstance(entry, TorchLayerWeight) else ""
    weight = f"{layer}.{part}:{entry.role}" if part else f"{layer}:{entry.role}"
    # both directions of a recurrent layer are one layer
    inner = ".".join(word for word in part.split(".") if word not in DIRECTIONS.values())
    return weight, f"{layer}.{inner}" if inner else layer


def _fitting_slot(module: nn.Module, entry: LayerWeight) -> ParameterSlot:
    """Return where the values of an entry are stored.

    Raises:
        Unprunable: They are not stored in a tensor of the entry's shape that can hold zeros.

    """
    slot = find_slot(module, entry.attribute)
    if slot.is_computed and packed_rows(entry) is not None:
        raise Unprunable(f"{entry.attribute} packs several weights and is parametrized")
    try:
        canonical_shape(entry, slot.parameter)
    except ValueError as error:
        shape = tuple(slot.parameter.shape)
        raise Unprunable(f"{entry.attribute} {shape} does not fit the layer ({error})") from None
    return slot


def _stored_tensors(module: nn.Module, attribute: str) -> list[Tensor]:
    """Return the parameters from which an attribute is computed, or the one that it is."""
    path, _, name = attribute.rpartition(".")
    owner = module.get_submodule(path)
    if parametrize.is_parametrized(owner, name):
        return list(owner.get_submodule(f"parametrizations.{name}").parameters())
    stored = (name, f"{name}_orig", f"{name}_v", f"{name}_g")
    found = (owner._parameters.get(key) for key in stored)
    return [parameter for parameter in found if parameter is not None]


def _graph_advice(cls: type[nn.Module]) -> str | None:
    """Return what is said of a module whose layers became a graph; None for others."""
    made_by = {base.__module__ for base in cls.__mro__}
    if any(name.startswith("torch.jit.") for name in made_by):
        return (
            "is a scripted or traced module, whose layers are not those of torch.nn any more; "
            "prune the model before torch.jit.script or torch.jit.trace"
        )
    if any(name.startswith("torch.export.") for name in made_by):
        return (
            "is an exported graph, whose layers are not those of torch.nn any more; prune the "
            "model before torch.export.export"
        )
    return None


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
                "from its first input. Run one batch through the model, then try again."
            )
