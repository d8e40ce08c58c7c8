"""One PyTorch model, bound: its weights, and the means to keep them masked."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from secateur.adapter import Binding, LayerWeight, Skipped
from secateur.errors import ModelError
from secateur.layout import Array
from secateur.registry import registry
from secateur_torch.follow import Follower, owners
from secateur_torch.modules import Row
from secateur_torch.walk import Found, walk
from secateur_torch.weights import TorchWeight, spec_of, to_numpy

if TYPE_CHECKING:
    from secateur.pruner import Pruner
    from secateur.workers import Workers


class TorchBinding(Binding):
    """A module and its weights.  Nothing is put on the module itself."""

    adapter = "torch"

    def __init__(
        self,
        weights: Sequence[TorchWeight],
        skipped: Sequence[Skipped],
        workers: Workers | None = None,
    ) -> None:
        self.weights: Sequence[TorchWeight] = weights
        self.skipped = skipped
        self.workers = workers
        self._held: list[tuple[TorchWeight, Tensor]] = []
        self._averages: list[TorchBinding] = []
        self._follower: Follower | None = None

    def hold(self, masks: Mapping[str, Array]) -> None:
        self._held = [
            (weight, weight.native_mask(masks[weight.spec.name]))
            for weight in self.weights
            if weight.spec.name in masks
        ]
        self.enforce()
        for average in self._averages:
            average.hold(masks)

    @torch.no_grad()
    def enforce(self) -> None:
        for weight, mask in self._held:
            weight.keep(mask)

    @torch.no_grad()
    def escaped(self) -> list[str]:
        return [weight.spec.name for weight, mask in self._held if weight.has_escaped(mask)]

    def release(self) -> None:
        if self._follower is not None:
            self._follower.release()
        self._follower, self._held = None, []

    def follow(self, pruner: Pruner, optimizer: object | None) -> None:
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
        included = bind(average)
        shapes = {weight.spec.name: weight.spec.shape for weight in included.weights}
        for weight in self.weights:
            if shapes.get(weight.spec.name) != weight.spec.shape:
                raise ModelError(
                    f"{type(average).__name__} is no average of this model: {weight.spec.name} "
                    f"is {weight.spec.shape} in the model and "
                    f"{shapes.get(weight.spec.name, 'missing')} there"
                )
        included.hold(masks)
        self._averages.append(included)

    def updates(self) -> int | None:
        return None if self._follower is None else self._follower.updates

    def to_native(self, array: Array, whole: int | None = None) -> Tensor:
        tensor = torch.tensor(array)
        if whole is None or self.workers is None:
            return tensor
        from secateur_torch.sharded import to_dtensor

        return to_dtensor(tensor, whole)

    def chunk(self, native: Any) -> Array | None:
        return to_numpy(native.to_local()) if hasattr(native, "to_local") else None


def bind(model: nn.Module) -> TorchBinding:
    """Find the weights of a model.

    Tied weights and shared layers are found once; their other names are aliases.
    Raises ModelError when a lazy layer has no weights yet.
    """
    first: dict[tuple[int, object], Found] = {}
    aliases: dict[tuple[int, object], list[str]] = {}
    skipped: list[Skipped] = []
    for found in walk(model, _from_plugins):
        if isinstance(found, Skipped):
            skipped.append(found)
            continue
        key = id(found.stored.parameter), _rows(found.row)
        first.setdefault(key, found)
        aliases.setdefault(key, []).append(found.name)
    parameters = [found.stored.parameter for found in first.values()]
    workers = _workers(parameters)
    weights = [_weight(found, aliases[key], workers) for key, found in first.items()]
    return TorchBinding(weights, list(dict.fromkeys(skipped)), workers)


def _workers(parameters: Sequence[Any]) -> Workers | None:
    if "torch.distributed.tensor" in sys.modules:  # else there can be no DTensor
        from secateur_torch import sharded

        if any(map(sharded.is_sharded, parameters)):
            return sharded.workers_of(parameters)
    return None


def _weight(found: Found, names: Sequence[str], workers: Workers | None) -> TorchWeight:
    row, stored = found.row, found.stored
    spec = spec_of(found.name, found.layer, row, stored.parameter, tuple(names[1:]))
    if workers is not None:
        from secateur_torch.sharded import ShardedWeight

        return ShardedWeight(spec, row, stored, workers)
    return TorchWeight(spec, row, stored)


def _rows(row: LayerWeight) -> tuple[int, int] | None:
    return row.rows if isinstance(row, Row) else None


def _from_plugins(module: nn.Module) -> Sequence[LayerWeight] | None:
    return registry().layer_weights("torch", module)
