"""One PyTorch model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secateur import layer_weights
from secateur.adapter import (
    SINGLE,
    Collected,
    LayerWeight,
    PairedBinding,
    Skipped,
    collect,
    layer_order,
)
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.layers import sharded_modules
from secateur_torch.memory import MemoryRange, memory_range, refuse_overlaps
from secateur_torch.parametrization import ParameterSlot
from secateur_torch.updates import OptimizerWatch, owners
from secateur_torch.walk import walk
from secateur_torch.weight import TorchWeight, spec_of, to_numpy

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner, Workers


class TorchBinding(PairedBinding[TorchWeight, Tensor]):
    """A module and its weights.  Nothing is put on the module itself."""

    adapter = "torch"

    def __init__(
        self,
        weights: Sequence[TorchWeight],
        skipped: Sequence[Skipped],
        workers: Workers = SINGLE,
    ) -> None:
        super().__init__(weights, skipped)
        self.workers = workers
        self._averages: list[TorchBinding] = []
        self._watch: OptimizerWatch | None = None

    def native_mask(self, weight: TorchWeight, mask: Array) -> Tensor:
        return weight.native_mask(mask)

    @torch.no_grad()
    def zero(
        self, pairs: Sequence[tuple[TorchWeight, Tensor]]
    ) -> Sequence[tuple[TorchWeight, Tensor]]:
        return [(weight, weight.clear(mask)) for weight, mask in pairs]

    def apply(self, masks: Mapping[str, Array]) -> None:
        super().apply(masks)
        for average in self._averages:
            average.apply(masks)

    @torch.no_grad()
    def nonzero_pruned(self) -> dict[str, int]:
        counts = {weight.spec.name: weight.nonzero_pruned(mask) for weight, mask in self.pairs}
        return {name: count for name, count in counts.items() if count}

    def release(self) -> None:
        if self._watch is not None:
            self._watch.release()
        self._watch = None
        super().release()

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        """Register a hook on an optimizer, or on each of a list of them; see `OptimizerWatch`."""
        if optimizer is not None:
            parameters = [weight.slot.parameter for weight in self.weights]
            watched = owners(optimizer, parameters)
            self._watch = OptimizerWatch(watched, pruner.step, self.enforce)

    def include(self, average: Any, masks: Mapping[str, Array]) -> None:
        """Apply masks to an average of the model too, such as an `AveragedModel`.

        It costs nothing per update: masks are applied to it when they change, and from
        then on the average of zeros is zero.
        """
        if not isinstance(average, nn.Module):
            raise ModelError(f"a {type(average).__name__} is no average of this model")
        included = bind(average)
        shapes = {weight.spec.name: weight.spec.shape for weight in included.weights}
        for weight in self.weights:
            if shapes.get(weight.spec.name) != weight.spec.shape:
                raise ModelError(
                    f"{type(average).__name__} is no average of this model: {weight.spec.name} "
                    f"is {weight.spec.shape} in the model and "
                    f"{shapes.get(weight.spec.name, 'missing')} there"
                )
        included.apply(masks)
        self._averages.append(included)

    def updates(self) -> int | None:
        return None if self._watch is None else self._watch.updates

    def to_native(self, array: Array, whole: int | None = None) -> Tensor:
        tensor = torch.tensor(array, device="cpu")
        if whole is None:
            return tensor
        from secateur_torch.sharded import to_dtensor

        return to_dtensor(tensor, whole)

    def from_native(self, value: Any) -> Any:
        is_plain = isinstance(value, Tensor) and not hasattr(value, "to_local")
        return to_numpy(value) if is_plain else value

    def chunk(self, native: Any) -> Array | None:
        return to_numpy(native.to_local()) if hasattr(native, "to_local") else None


def bind(model: nn.Module) -> TorchBinding:
    """Find the weights of a model.

    Tied weights and shared layers are found once; their other names are aliases.

    Args:
        model: The model.

    Raises:
        ModelError: A lazy layer has no weights yet, or weights share some memory.

    """

    def reshard() -> None:
        # after an evaluation, FSDP2 shows whole weights, and what is set in them is lost
        for module in sharded_modules(model):
            module.reshard()

    reshard()
    collected, skipped = collect(walk(model, _from_plugins))
    refuse_overlaps({_range(each): each.found.name for each in collected})
    weights, workers = _weights(collected, reshard)
    binding = TorchBinding(weights, skipped, workers)
    binding.parameters = sum(parameter.numel() for parameter in model.parameters())
    binding.layers = layer_order(collected)
    return binding


def _weights(
    collected: Sequence[Collected[ParameterSlot]], reshard: Callable[[], None]
) -> tuple[list[TorchWeight], Workers]:
    slots = [each.found.where for each in collected]
    if not any(hasattr(slot.parameter, "device_mesh") for slot in slots):
        weights = [
            TorchWeight(spec_of(each), each.found.entry, each.found.where) for each in collected
        ]
        return weights, SINGLE
    from secateur_torch.sharded import ShardedWeight, workers_of

    workers = workers_of([slot.parameter for slot in slots])
    return [
        ShardedWeight(spec_of(each), each.found.entry, each.found.where, workers, reshard)
        for each in collected
    ], workers


def _range(weight: Collected[ParameterSlot]) -> MemoryRange:
    return memory_range(weight.found.where.parameter, weight.found.entry)


def _from_plugins(module: nn.Module) -> Sequence[LayerWeight] | None:
    return layer_weights("torch", module)
