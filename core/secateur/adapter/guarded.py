"""A binding whose failures are errors that name its adapter and the method."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

from secateur.adapter.binding import AttachedPruner, Binding
from secateur.adapter.state import StateTensor
from secateur.adapter.weights import Weight
from secateur.errors import PluginCode
from secateur.layout import Array

Blamed = Callable[[str], PluginCode]
"""Returns the block in which a call of the adapter runs, given the call in words."""


class GuardedWeight(Weight):
    """A weight of a guarded binding.

    Args:
        weight: The adapter's own weight.
        blamed: Names the adapter in errors.

    """

    def __init__(self, weight: Weight, blamed: Blamed) -> None:
        self.weight, self._blamed = weight, blamed
        self.spec, self.sharded = weight.spec, weight.sharded

    def read(self) -> Array:
        with self._of("read"):
            return self.weight.read()

    def index(self, positions: Array) -> Array:
        with self._of("index"):
            return self.weight.index(positions)

    def identity(self) -> object:
        with self._of("identity"):
            found = self.weight.identity()
            weakref.ref(found)  # as the claim on it is
        return self if found is self.weight else found

    @property
    def writable(self) -> bool:
        with self._of("writable"):
            return bool(self.weight.writable)

    def write(self, values: Array) -> None:
        with self._of("write"):
            self.weight.write(values)

    def gradient(self) -> Array | None:
        with self._of("gradient"):
            return self.weight.gradient()

    def _of(self, method: str) -> PluginCode:
        return self._blamed(f"{method}() of {self.spec.name:.200}")


class GuardedBinding(Binding):
    """A binding as core uses it: what its methods raise is a PluginError.

    Errors of secateur pass as they are.

    Args:
        binding: The adapter's own binding.
        blamed: Names the adapter in errors.

    """

    def __init__(self, binding: Binding, blamed: Blamed) -> None:
        self.binding, self._blamed = binding, blamed
        with blamed("the attributes of its binding"):
            self.adapter = binding.adapter
            self.weights = [GuardedWeight(weight, blamed) for weight in binding.weights]
            self.skipped = tuple(binding.skipped)
            self.workers = binding.workers
            self.parameters = binding.parameters
            self.ordered = binding.ordered
            self.knows_trainable = binding.knows_trainable
            self.layers = binding.layers

    def apply(self, masks: Mapping[str, Array]) -> None:
        with self._blamed("apply()"):
            self.binding.apply(masks)

    def prune(self, masks: Mapping[str, Array]) -> None:
        if type(self.binding).prune is Binding.prune:
            self.apply(masks)
            return
        with self._blamed("prune()"):
            self.binding.prune(masks)

    def applied_masks(self, masks: Mapping[str, Array]) -> Mapping[str, Array]:
        with self._blamed("applied_masks()"):
            return dict(self.binding.applied_masks(masks))

    def enforce(self) -> None:
        with self._blamed("enforce()"):
            self.binding.enforce()

    def nonzero_pruned(self) -> Mapping[str, int] | None:
        with self._blamed("nonzero_pruned()"):
            found = self.binding.nonzero_pruned()
            return None if found is None else dict(found)

    def model_changes(self) -> Mapping[str, str]:
        with self._blamed("model_changes()"):
            return dict(self.binding.model_changes())

    def tensors(self) -> list[StateTensor]:
        with self._blamed("tensors()"):
            return [self._guarded(tensor) for tensor in self.binding.tensors()]

    def _guarded(self, tensor: StateTensor) -> StateTensor:
        def read() -> Array:
            with self._blamed(f"read() of {tensor.name:.200}"):
                return tensor.read()

        def write(values: Array) -> None:
            with self._blamed(f"write() of {tensor.name:.200}"):
                tensor.write(values)

        return replace(tensor, read=read, write=write)

    def release(self) -> None:
        with self._blamed("release()"):
            self.binding.release()

    def watch_optimizer(self, pruner: AttachedPruner, optimizer: object | None) -> None:
        with self._blamed("watch_optimizer()"):
            self.binding.watch_optimizer(pruner, optimizer)

    def clear_moments(self, revived: Mapping[str, Array]) -> None:
        with self._blamed("clear_moments()"):
            self.binding.clear_moments(revived)

    def gradient_problems(self, names: Collection[str]) -> Mapping[str, str]:
        with self._blamed("gradient_problems()"):
            return dict(self.binding.gradient_problems(names))

    def watch_gradients(self, names: Collection[str]) -> bool:
        with self._blamed("watch_gradients()"):
            return bool(self.binding.watch_gradients(names))

    def to_canonical(self, gradients: Any) -> Mapping[str, Any]:
        with self._blamed("to_canonical()"):
            return self.binding.to_canonical(gradients)

    def callback(self, pruner: AttachedPruner) -> object:
        with self._blamed("callback()"):
            return self.binding.callback(pruner)

    def updates(self) -> int | None:
        with self._blamed("updates()"):
            return self.binding.updates()

    def include(self, average: object, masks: Mapping[str, Array]) -> None:
        with self._blamed("include()"):
            self.binding.include(average, masks)

    def to_native(self, array: Array, whole: int | None = None) -> Any:
        with self._blamed("to_native()"):
            return self.binding.to_native(array, whole)

    def from_native(self, value: Any) -> Any:
        with self._blamed("from_native()"):
            return self.binding.from_native(value)

    def chunk(self, native: Any) -> Array | None:
        with self._blamed("chunk()"):
            return self.binding.chunk(native)
