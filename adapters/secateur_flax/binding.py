"""One NNX model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flax import nnx

from secateur.adapter import PairedBinding, Skipped, StateTensor, collect, layer_order
from secateur.layout import Array
from secateur_flax.changes import model_changes
from secateur_flax.gradients import gradients_of
from secateur_flax.masking import (
    count_nonzero_pruned,
    is_in_main_memory,
    placed_like,
    pruned,
    select,
)
from secateur_flax.state import state_of
from secateur_flax.updates import refuse_optimizer, refuse_tracing
from secateur_flax.walk import count_parameters, walk
from secateur_flax.weight import FlaxWeight, spec_of

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner

Pair = tuple[FlaxWeight, list[Any]]


class FlaxBinding(PairedBinding[FlaxWeight, list[Any]]):
    """An NNX module and its weights.  Nothing is put on the module itself.

    Args:
        model: The module.
        weights: Its weights.
        skipped: What is left dense.

    """

    adapter = "flax"

    def __init__(
        self, model: nnx.Module, weights: Sequence[FlaxWeight], skipped: Sequence[Skipped]
    ) -> None:
        super().__init__(weights, skipped)
        self._model = model

    def native_mask(self, weight: FlaxWeight, mask: Array) -> list[Any]:
        return weight.native_mask(mask)

    def apply(self, masks: Mapping[str, Array]) -> None:
        refuse_tracing()
        super().apply(masks)

    def prune(self, masks: Mapping[str, Array]) -> None:
        refuse_tracing()
        masked = [weight for weight in self.weights if weight.spec.name in masks]
        values = [value for weight in masked for value in weight.values()]
        if not all(map(is_in_main_memory, values)):
            self.apply(masks)
            return
        for weight in masked:
            parts = weight.parts_of(masks[weight.spec.name])
            for variable, part in zip(weight.slot.variables(), parts, strict=True):
                variable.set_value(pruned(variable.get_value(), part))

    def enforce(self) -> None:
        refuse_tracing()
        super().enforce()

    def zero(self, pairs: Sequence[Pair]) -> Sequence[Pair]:
        """Set to +0.0 what the masks prune; `model_changes` names the weights that no longer fit.

        Args:
            pairs: The weights and their native masks.

        """
        fitting = [pair for pair in pairs if pair[0].change() is None]
        variables = _variables(fitting)
        values = [variable.get_value() for variable in variables]
        masks = _placed(fitting, values)
        for variable, value in zip(variables, select(values, masks), strict=True):
            variable.set_value(value)
        moved = iter(masks)
        kept = {id(weight): [next(moved) for _ in parts] for weight, parts in fitting}
        return [(weight, kept.get(id(weight), parts)) for weight, parts in pairs]

    def nonzero_pruned(self) -> dict[str, int]:
        refuse_tracing()
        fitting = [pair for pair in self.pairs if pair[0].change() is None]
        values = [variable.get_value() for variable in _variables(fitting)]
        counts = iter(count_nonzero_pruned(values, _placed(fitting, values)))
        found = {
            weight.spec.name: sum(int(next(counts)) for _ in parts) for weight, parts in fitting
        }
        return {name: count for name, count in found.items() if count}

    def model_changes(self) -> dict[str, str]:
        return model_changes(self._model, self.weights)

    def tensors(self) -> list[StateTensor]:
        refuse_tracing()
        return state_of(self._model, self.weights)

    def to_canonical(self, gradients: Any) -> Mapping[str, Any]:
        """Return gradients by weight name and canonical, from what `nnx.grad` returns.

        Args:
            gradients: The `nnx.State` of the gradients, or a mapping of weight name to array.

        Raises:
            ModelError: It is neither, or holds no values of its own.

        """
        refuse_tracing()
        if not isinstance(gradients, nnx.State):
            return super().to_canonical(gradients)
        return gradients_of(self._model, self.weights, gradients)

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        """Refuse ``optimizer=``: an update happens inside a function that JAX compiles.

        Args:
            pruner: The pruner.
            optimizer: What `secateur.attach` was given.

        Raises:
            ModelError: It was given something.

        """
        refuse_optimizer(optimizer)


def bind(model: nnx.Module) -> FlaxBinding:
    """Find the weights of a model.

    Shared layers and tied parameters are found once; their other names are aliases.

    Args:
        model: The model.

    Raises:
        ModelError: The model holds no values, or is being traced.

    """
    refuse_tracing()
    collected, skipped = collect(walk(model))
    weights = [FlaxWeight(spec_of(each), each.found.entry, each.found.where) for each in collected]
    binding = FlaxBinding(model, weights, skipped)
    binding.parameters = count_parameters(model, [weight.slot for weight in weights])
    binding.layers = layer_order(collected)
    return binding


def _variables(pairs: Sequence[Pair]) -> list[Any]:
    return [variable for weight, _ in pairs for variable in weight.slot.variables()]


def _placed(pairs: Sequence[Pair], values: Sequence[Any]) -> list[Any]:
    masks = [mask for _, parts in pairs for mask in parts]
    return [placed_like(mask, value) for mask, value in zip(masks, values, strict=True)]
