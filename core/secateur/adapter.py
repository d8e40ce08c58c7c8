"""The contract between core and a framework.

An `Adapter` recognises models; its `Binding` holds one model: the weights that can be
pruned, the layers that cannot and why, and the means to keep weights masked while the
framework's own training loop runs.  Core decides what the masks are, and when.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from secateur.errors import ModelError
from secateur.layout import IDENTITY, Array, Layout

if TYPE_CHECKING:
    from secateur.pruner import Pruner
    from secateur.workers import Workers

Kind = Literal["dense", "conv", "conv_transpose", "depthwise", "embedding", "rnn", "attention"]
Role = Literal["kernel", "recurrent", "query", "key", "value", "output", "embedding"]
KINDS: tuple[str, ...] = get_args(Kind)
ROLES: tuple[str, ...] = get_args(Role)


@dataclass(frozen=True)
class WeightSpec:
    """What is known of a weight without looking at its values.

    `name` is ``layer path:role``, such as ``encoder.0.ffn:kernel``; `shape` is canonical;
    `layer` groups the weights of one layer, which share a position in the model;
    `aliases` are the other names of a tied weight.
    """

    name: str
    kind: Kind
    role: Role
    shape: tuple[int, ...]
    dtype: str
    layer: str
    aliases: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Skipped:
    """A layer, or a parameter, that is left dense, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class LayerWeight:
    """One prunable attribute of a layer: a row of an adapter's table.

    Plugins return these from the hook ``secateur_bindings`` to teach an adapter a custom
    layer.  `layout` leads from the attribute's own shape to the canonical one.
    """

    attribute: str
    kind: Kind
    role: Role = "kernel"
    layout: Layout = field(default=IDENTITY)


class Weight(ABC):
    """One prunable array of a model, seen in canonical layout."""

    spec: WeightSpec

    @abstractmethod
    def read(self) -> Array:
        """Return the values now, in canonical layout: a read-only view, or a copy."""

    def index(self, places: Array) -> Array:
        """Return the canonical flat index of some of the values that `read` returns.

        Only weights that several workers hold in shards need it; `read`, `gradient` and
        masks are flat there, and hold what this worker holds.
        """
        raise NotImplementedError

    def gradient(self) -> Array | None:
        """Return the gradient of the last update in canonical layout, where there is one."""
        return None


class Binding(ABC):
    """One model, bound.

    The pruner is the only caller of the methods, and calls `hold` with every weight of the
    plan that has a mask, each time that any mask changes.
    """

    adapter: str
    weights: Sequence[Weight]
    skipped: Sequence[Skipped]
    workers: Workers | None = None
    """Those who hold the weights in shards, when there are several."""

    @abstractmethod
    def hold(self, masks: Mapping[str, Array]) -> None:
        """Put these masks in force: pruned weights are +0.0 now, and after every update.

        masks: weight name to bool array, canonical, True = kept.  A weight without a mask
        is left alone.  Set by selection (``where``), never by multiplication.
        """

    def as_held(self, masks: Mapping[str, Array]) -> Mapping[str, Array]:
        """Return the masks just put in force, as the framework keeps them.

        Views on its memory, where it has a copy of its own: then none is kept twice.  They
        must never change, so a framework that changes masks in place returns `masks`.
        """
        return masks

    @abstractmethod
    def enforce(self) -> None:
        """Set pruned weights to +0.0 again by the masks in force, after an optimizer update.

        Does nothing where the framework has already done so inside its update.
        """

    def escaped(self) -> Sequence[str]:
        """Return the weights of which values that the masks prune are not zero now."""
        return ()

    @abstractmethod
    def release(self) -> None:
        """Take every hook off the model; the weights keep their values."""

    def follow(self, pruner: Pruner, optimizer: object | None) -> None:
        """Arrange that ``pruner.step()`` is called after each update, where the framework can."""
        if optimizer is not None:
            raise ModelError(f"optimizer= has no meaning for a {self.adapter} model; leave it out")

    def callback(self, pruner: Pruner) -> object:
        """Return an object of the framework's own callback type that moves the schedule."""
        raise ModelError(
            f"a {self.adapter} model has no callbacks; call pruner.step() after each update"
        )

    def updates(self) -> int | None:
        """Return how many updates the framework has made since `follow`, where it can tell."""
        return None

    def include(self, average: object, masks: Mapping[str, Array]) -> None:
        """Hold the masks on an average of the model too; `masks` are those in force."""
        raise ModelError(f"a {self.adapter} model has no averages that could be included")

    def to_native(self, array: Array, whole: int | None = None) -> Any:
        """Turn an array of a state dict into what the framework's own checkpoints hold.

        whole: where the array is this worker's chunk of a longer one, the length of that.
        """
        return array

    def from_native(self, value: Any) -> Any:
        """Turn what `to_native` made, and a checkpoint gave back, into an array again."""
        return value

    def chunk(self, native: Any) -> Array | None:
        """Return this worker's chunk of what `to_native` made of chunks; None for others."""
        return None


class Adapter(ABC):
    """Recognises the models of one framework and binds them."""

    name: str

    @abstractmethod
    def matches(self, model: object) -> bool:
        """Tell whether this is a model of ours, without importing the framework."""

    def hint(self, model: object) -> str | None:
        """Say how to mend it, when `matches` is false for a model that is nearly ours."""
        return None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of files that `read` can read, for the command line."""
        return ()

    def read(self, path: Path) -> Any:
        """Return the model, or the `Checkpoint`, in a file; runs no code from it.

        Raises ModelError when the framework is missing or the file is not whole.
        """
        raise ModelError(f"{path}: the {self.name} adapter reads no files")

    @abstractmethod
    def bind(self, model: Any) -> Binding:
        """Find the weights of a model.  Changes nothing in it.

        Raises ModelError when the model cannot be bound yet (not built, for example).
        """
