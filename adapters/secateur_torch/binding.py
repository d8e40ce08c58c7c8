"""One PyTorch model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
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
    StateTensor,
    collect,
    layer_order,
)
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.changes import LiveModel
from secateur_torch.layers import sharded_modules
from secateur_torch.memory import MemoryRange, memory_range, refuse_overlaps
from secateur_torch.moments import clear_moments, warn_of_moments
from secateur_torch.parametrization import ParameterSlot
from secateur_torch.state import state_of
from secateur_torch.training import Training
from secateur_torch.updates import OptimizerWatch, Turn, owned_ids, owners
from secateur_torch.walk import walk
from secateur_torch.weight import TorchWeight, spec_of, to_numpy

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from secateur.adapter import AttachedPruner, Workers


class TorchBinding(PairedBinding[TorchWeight, Tensor]):
    """A module and its weights.  Nothing is put on the module itself."""

    adapter = "torch"

    def __init__(
        self,
        model: nn.Module,
        weights: Sequence[TorchWeight],
        skipped: Sequence[Skipped],
        workers: Workers = SINGLE,
    ) -> None:
        super().__init__(weights, skipped)
        self.workers = workers
        self._model = model
        self._averages: list[TorchBinding] = []
        self._watch: OptimizerWatch | None = None
        self._turn: Turn | None = None
        self._unwritten: set[str] = set()
        self._warned = False
        self._training = Training()
        self._gradients_of: list[TorchWeight] = []

    def native_mask(self, weight: TorchWeight, mask: Array) -> Tensor:
        return weight.native_mask(mask)

    def apply(self, masks: Mapping[str, Array]) -> None:
        self._unwritten = set(masks)
        counted = self._training.counted
        try:
            super().apply(masks)
        finally:
            self._training.counted = counted
        for average in self._averages:
            average.apply(masks)

    def enforce(self) -> None:
        self._training.counted = True
        super().enforce()

    @torch.no_grad()
    def zero(
        self, pairs: Sequence[tuple[TorchWeight, Tensor]]
    ) -> Sequence[tuple[TorchWeight, Tensor]]:
        """Zero all weights that may be written now; one that cannot be is an error afterwards."""
        zeroed: list[tuple[TorchWeight, Tensor]] = []
        failure: ModelError | None = None
        for weight, mask in pairs:
            try:
                zeroed.append((weight, self._zero_one(weight, mask)))
            except ModelError as error:
                failure = failure or error
                zeroed.append((weight, mask))
        self.pairs = zeroed
        if failure is not None:
            raise failure
        return zeroed

    def _zero_one(self, weight: TorchWeight, mask: Tensor) -> Tensor:
        parameter, name, turn = weight.current(), weight.spec.name, self._turn
        if turn is not None and not self._needs_write(weight, mask, turn):
            return mask
        mask = weight.clear(mask)
        self._unwritten.discard(name)
        self._training.note(name, parameter)
        return mask

    def _needs_write(self, weight: TorchWeight, mask: Tensor, turn: Turn) -> bool:
        """Return whether a weight must be written in the turn of an optimizer, and may be.

        A graph that was built before may hold what the optimizer did not update: its own
        parameters without gradient, and those of no optimizer.  They are written only where they
        must be.
        """
        parameter, name = weight.current(), weight.spec.name
        is_owned = id(parameter) in turn.owned
        if is_owned and parameter.grad is not None:
            return True
        if turn.waits(parameter) or not (is_owned or name in self._unwritten):
            return False
        return weight.nonzero_pruned(mask) > 0

    @torch.no_grad()
    def nonzero_pruned(self) -> dict[str, int]:
        changes = self.model_changes()
        counts: dict[str, int] = {}
        for weight, mask in self.pairs:
            with suppress(Exception):  # whatever a tensor that was put in place raises
                if weight.spec.name not in changes:
                    counts[weight.spec.name] = weight.nonzero_pruned(mask)
        return {name: count for name, count in counts.items() if count}

    def model_changes(self) -> Mapping[str, str]:
        try:
            _reshard(self._model)
            notes = dict(LiveModel(walk(self._model, _from_plugins)).changes(self.weights))
        except Exception as error:  # whatever a model that was taken apart raises
            return {"": f"the model cannot be read any more: {error}"}
        forgotten = self._training.forgotten(self.weights, self._watch)
        return notes | ({"optimizer": forgotten} if forgotten else {})

    def tensors(self) -> list[StateTensor]:
        return state_of(self._model, self.weights)

    def release(self) -> None:
        if self._watch is not None:
            self._watch.release()
        self._watch = self._turn = None
        for weight in self._gradients_of:
            weight.kept = ()
        super().release()

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        """Register a hook on an optimizer, or on each of a list of them; see `OptimizerWatch`."""
        self._training.begin(self.weights, pruner.pruned_weights)
        if optimizer is None:
            return
        parameters = [weight.slot.parameter for weight in self.weights]
        if not any(parameter.requires_grad for parameter in parameters):
            parameters = [*self._model.parameters()]  # as with LoRA, which trains others
        watched = owners(optimizer, parameters)
        self._training.warn_of_others(self.weights, watched)
        keep = partial(self._keep_gradients, pruner)
        step = partial(self._step, pruner)
        self._watch = OptimizerWatch(watched, step, self.enforce, self._take_turn, keep)
        self._watch.begin()

    @torch.no_grad()
    def clear_moments(self, revived: Mapping[str, Array]) -> None:
        if self._watch is None:
            if not self._warned:
                warn_of_moments(revived)
            self._warned = True
            return
        for weight in self.weights:
            if weight.spec.name in revived:
                clear_moments(weight, revived[weight.spec.name], self._watch.optimizers)

    def gradient_problems(self, names: Collection[str]) -> dict[str, str]:
        return {
            weight.spec.name: "the layer computes this weight from its parameter, as "
            "torch.nn.utils.parametrize does, and only the parameter has a gradient"
            for weight in self.weights
            if weight.spec.name in names and weight.slot.is_computed
        }

    def watch_gradients(self, names: Collection[str]) -> bool:
        self._gradients_of = [weight for weight in self.weights if weight.spec.name in names]
        return True

    def _step(self, pruner: AttachedPruner) -> None:
        pruner.step()
        for weight in self._gradients_of:
            weight.drop_gradient()

    def _keep_gradients(self, pruner: AttachedPruner, optimizer: Optimizer) -> None:
        """Copy the gradients of an update that is followed by backward passes of other losses."""
        if self._gradients_of and pruner.uses_gradients():
            owned = owned_ids(optimizer)
            for weight in self._gradients_of:
                if id(weight.current()) in owned:
                    weight.keep_gradient()

    def _take_turn(self, turn: Turn | None) -> None:
        self._turn = turn

    def include(self, average: Any, masks: Mapping[str, Array]) -> None:
        """Apply masks to an average of the model too, such as an `AveragedModel`.

        It costs nothing per update: masks are applied to it when they change, and from
        then on the average of zeros is zero.
        """
        if not isinstance(average, nn.Module):
            raise ModelError(
                f"a {type(average).__name__} is no average of this model; pass a module, such as "
                "torch.optim.swa_utils.AveragedModel(model)"
            )
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
    _reshard(model)
    collected, skipped = collect(walk(model, _from_plugins))
    refuse_overlaps({_range(each): each.found.name for each in collected})
    weights, workers = _weights(collected, partial(_reshard, model))
    binding = TorchBinding(model, weights, skipped, workers)
    binding.parameters = sum(parameter.numel() for parameter in model.parameters())
    binding.layers = layer_order(collected)
    return binding


def _reshard(model: nn.Module) -> None:
    """Show shards again where FSDP2 shows whole weights after an evaluation.

    What is set in whole weights is lost.
    """
    for module in sharded_modules(model):
        module.reshard()


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
