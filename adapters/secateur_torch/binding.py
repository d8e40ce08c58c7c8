"""One PyTorch model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secateur import layer_weights
from secateur.adapter import SINGLE, Binding, LayerWeight, Skipped
from secateur.errors import ModelError
from secateur.layout import Array
from secateur_torch.layers import sharders
from secateur_torch.memory import Key, key_of, refuse_overlaps
from secateur_torch.updates import Follower, owners
from secateur_torch.walk import Found, walk
from secateur_torch.weight import TorchWeight, spec_of, to_numpy

if TYPE_CHECKING:
    from secateur.adapter import AttachedPruner, Workers


class TorchBinding(Binding):
    """A module and its weights.  Nothing is put on the module itself."""

    adapter = "torch"

    def __init__(
        self,
        weights: Sequence[TorchWeight],
        skipped: Sequence[Skipped],
        workers: Workers = SINGLE,
    ) -> None:
        self.weights: Sequence[TorchWeight] = weights
        self.skipped = skipped
        self.workers = workers
        self._held: list[tuple[TorchWeight, Tensor]] = []
        self._averages: list[TorchBinding] = []
        self._follower: Follower | None = None

    def apply(self, masks: Mapping[str, Array]) -> None:
        self._held = [
            (weight, weight.native_mask(masks[weight.spec.name]))
            for weight in self.weights
            if weight.spec.name in masks
        ]
        self.enforce()
        for average in self._averages:
            average.apply(masks)

    @torch.no_grad()
    def enforce(self) -> None:
        self._held = [(weight, weight.keep(mask)) for weight, mask in self._held]

    @torch.no_grad()
    def nonzero_pruned(self) -> dict[str, int]:
        counts = {weight.spec.name: weight.nonzero_pruned(mask) for weight, mask in self._held}
        return {name: count for name, count in counts.items() if count}

    def release(self) -> None:
        if self._follower is not None:
            self._follower.release()
        self._follower, self._held = None, []

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        """Register a hook on an optimizer, or on each of a list of them; see `Follower`."""
        if optimizer is not None:
            parameters = [weight.stored.parameter for weight in self.weights]
            followed = owners(optimizer, parameters)
            self._follower = Follower(followed, pruner.step, self.enforce)

    def include(self, average: Any, masks: Mapping[str, Array]) -> None:
        """Hold the masks on an average of the model too, such as an `AveragedModel`.

        It costs nothing per update: masks are applied to it when they change, and from
        then on the average of zeros is zero.
        Raises ModelError when it is not an average of this model; nothing is changed then.
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
        return None if self._follower is None else self._follower.updates

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
    Raises ModelError when a lazy layer has no weights yet, or weights share some memory.
    """

    def reshard() -> None:
        # after an evaluation, FSDP2 shows whole weights, and what is set in them is lost
        for module in sharders(model):
            module.reshard()

    reshard()
    first: dict[Key, Found] = {}
    aliases: dict[Key, list[str]] = {}
    skipped: list[Skipped] = []
    for found in walk(model, _from_plugins):
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        key = key_of(found.stored.parameter, found.row)
        first.setdefault(key, found)
        aliases.setdefault(key, []).append(found.name)
    refuse_overlaps({key: names[0] for key, names in aliases.items()})
    parameters = [found.stored.parameter for found in first.values()]
    workers = _workers(parameters)
    weights: list[TorchWeight] = []
    for key, found in first.items():
        row, stored = found.row, found.stored
        names = tuple(dict.fromkeys(aliases[key]))
        spec = spec_of(found.name, found.layer, row, stored.parameter, names[1:])
        if workers is None:
            weights.append(TorchWeight(spec, row, stored))
        else:
            from secateur_torch.sharded import ShardedWeight

            weights.append(ShardedWeight(spec, row, stored, workers, reshard))
    return TorchBinding(weights, list(dict.fromkeys(skipped)), workers or SINGLE)


def _workers(parameters: Sequence[Any]) -> Workers | None:
    names = ("torch.distributed.tensor", "torch.distributed._tensor")  # the latter in 2.4
    if any(hasattr(sys.modules.get(name), "DTensor") for name in names):  # else there is none
        from secateur_torch import sharded

        if any(map(sharded.is_sharded, parameters)):
            return sharded.workers_of(parameters)
    return None


def _from_plugins(module: nn.Module) -> Sequence[LayerWeight] | None:
    return layer_weights("torch", module)
