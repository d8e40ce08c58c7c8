"""What core knows of one weight, and how it reads it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from math import prod

from secateur.errors import ModelError
from secateur.layout import IDENTITY, Array, Layout


@dataclass(frozen=True)
class WeightSpec:
    """What is known of a weight without looking at its values.

    Attributes:
        name: ``layer path:role``, such as ``encoder.0.ffn:kernel``.
        kind: The name of its kind, such as ``dense``; see `secateur.kinds`.
        role: What it does in its layer, such as ``kernel`` or ``query``.
        shape: Its canonical shape.
        dtype: NumPy's name of its dtype, such as ``float32``.
        layer: The layer it belongs to; the weights of one layer share a position in the model.
        aliases: The other names of a tied weight.
        trainable: Whether the framework updates it; a frozen weight can be pruned all the same.
        alias_layers: The other layers that a tied weight belongs to.
        groups: The groups of channels of a convolution; None where it is not known, as in files.

    Example:
        >>> WeightSpec("fc:kernel", "dense", "kernel", (4, 3), "float32", "fc").size
        12

    """

    name: str
    kind: str
    role: str
    shape: tuple[int, ...]
    dtype: str
    layer: str
    aliases: tuple[str, ...] = ()
    trainable: bool = True
    alias_layers: tuple[str, ...] = ()
    groups: int | None = None

    @property
    def size(self) -> int:
        """The number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Skipped:
    """A layer, or a parameter, that is left dense, and why.

    Attributes:
        name: The path of the layer, or of the parameter.
        reason: Why it is left dense, as a plan shows it.
        size: The number of parameters that are left dense with it; 0 where it holds none.

    Example:
        >>> Skipped("norm", "BatchNorm2d: parameters of normalization are never pruned").name
        'norm'

    """

    name: str
    reason: str
    size: int = 0


@dataclass(frozen=True)
class LayerWeight:
    """One prunable attribute of a layer: an entry of an adapter's table.

    Plugins return these from the hook ``secateur_layer_weights`` to teach an adapter a custom
    layer.

    Attributes:
        attribute: Where the layer keeps it; a dotted path reaches into parts of the layer.
        kind: The name of its kind, such as ``dense``.
        role: What it does in the layer.
        layout: Leads from the attribute's own shape to the canonical one.
        groups: The groups of channels of a convolution; None for other kinds.

    Example:
        >>> from secateur.layout import DENSE_IN_OUT
        >>> LayerWeight("w", "dense", layout=DENSE_IN_OUT).role
        'kernel'

    """

    attribute: str
    kind: str
    role: str = "kernel"
    layout: Layout = field(default=IDENTITY)
    groups: int | None = field(default=None, kw_only=True)


class Weight(ABC):
    """One prunable array of a model, seen in canonical layout.

    Attributes:
        spec: What is known of it without its values.
        sharded: Whether this process holds only some of its values.

    Example:
        >>> import numpy as np
        >>> class Kernel(Weight):
        ...     spec = WeightSpec("fc:kernel", "dense", "kernel", (2, 2), "float64", "fc")
        ...
        ...     def read(self):
        ...         return np.eye(2)
        >>> Kernel().read().shape
        (2, 2)

    """

    spec: WeightSpec
    sharded: bool = False

    @abstractmethod
    def read(self) -> Array:
        """Return the present values in canonical layout: a read-only view, or a copy.

        Of a weight that is sharded over processes, these are the values of this process, flat.
        """

    def index(self, positions: Array) -> Array:
        """Return the canonical flat index of some of the values that `read` returns.

        Only weights that are sharded over processes define this.

        Args:
            positions: Positions in the flat array that `read` returns, int64.

        Raises:
            NotImplementedError: The weight is whole.

        """
        raise NotImplementedError(f"{self.spec.name} is whole, and its values are canonical")

    def identity(self) -> object:
        """Return the object that holds the values, so that two pruners never hold one weight.

        It can be referenced weakly, and is the same object for as long as the model keeps the
        weight; the weight itself by default.
        """
        return self

    @property
    def writable(self) -> bool:
        """Whether `write` can set the values: not so where a layer computes them from others."""
        return type(self).write is not Weight.write

    def write(self, values: Array) -> None:
        """Set all values.

        Args:
            values: The new values, as `read` returns them, in the weight's dtype.

        Raises:
            ModelError: The adapter does not define this, or the values cannot be written.

        """
        raise ModelError(f"the adapter of {self.spec.name} cannot put values into a weight")

    def gradient(self) -> Array | None:
        """Return the gradient of the last update in canonical layout, or None without one."""
        return None
