"""All of a model's state, tensor by tensor: what is needed to fill a model from a file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from secateur.layout import IDENTITY, Array, Layout


@dataclass(frozen=True)
class StatePart:
    """A prunable weight that lies in a tensor: all of it, or some of its rows.

    Attributes:
        weight: The name of the weight, as in a plan.
        kind: The name of its kind.
        layout: Leads from the tensor, or its rows, to the canonical layout.
        rows: The rows of the tensor that it takes, from the first to before the last; or all.

    Example:
        >>> from secateur.layout import DENSE_IN_OUT
        >>> StatePart("fc:kernel", "dense", DENSE_IN_OUT).rows is None
        True

    """

    weight: str
    kind: str
    layout: Layout = IDENTITY
    rows: tuple[int, int] | None = None


@dataclass(frozen=True, eq=False)
class StateTensor:
    """One tensor of a model's state: a weight, a bias, a statistic of normalization.

    Attributes:
        name: Its name in the framework's own words, such as ``conv1.bias``.
        shape: Its shape in the framework.
        dtype: NumPy's name of its dtype.
        read: Returns the present values, in the framework's layout.
        write: Sets all values, from an array of this shape and dtype.
        parts: The prunable weights that lie in it.
        aliases: Its other names, where the model holds it several times.
        writable: Whether `write` can be called; a NumPy array may be read-only.

    Example:
        >>> import numpy as np
        >>> from secateur.numpy_adapter import NumpyAdapter
        >>> (bias,) = NumpyAdapter().bind({"bias": np.ones(2)}).tensors()
        >>> bias.write(np.array([3.0, 4.0]))
        >>> bias.name, bias.read().tolist()
        ('bias', [3.0, 4.0])

    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], Array]
    write: Callable[[Array], None]
    parts: tuple[StatePart, ...] = ()
    aliases: tuple[str, ...] = ()
    writable: bool = True
