"""The reference adapter: a mapping of name to NumPy array is a model too.

It needs no framework, and is what parity is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from secateur.adapter import ROLES, Adapter, Binding, Role, Skipped, Weight, WeightSpec
from secateur.errors import ModelError, nearest
from secateur.keys import FLOATS
from secateur.layout import Array

RANKS = {
    "dense": (2, 3),
    "conv": (3, 4, 5),
    "conv_transpose": (3, 4, 5),
    "depthwise": (3, 4, 5),
    "embedding": (2,),
    "rnn": (3, 4, 5, 6),
    "attention": (2,),
}
"""The rank of each kind's canonical layout."""


class ArrayWeight(Weight):
    """An array of the mapping, which is canonical already."""

    def __init__(self, spec: WeightSpec, array: Array) -> None:
        self.spec, self.array = spec, array

    def read(self) -> Array:
        view = self.array.view()
        view.flags.writeable = False
        return view


class ArrayBinding(Binding):
    """A mapping of arrays, bound; it is pruned in place."""

    adapter = "numpy"

    def __init__(self, weights: list[ArrayWeight], skipped: list[Skipped]) -> None:
        self.weights, self.skipped = weights, skipped
        self._arrays = {weight.spec.name: weight.array for weight in weights}
        self._masks: Mapping[str, Array] = {}

    def hold(self, masks: Mapping[str, Array]) -> None:
        for name in masks:
            if not self._arrays[name].flags.writeable:
                raise ModelError(
                    f"{name}: the array is read-only, and a mapping is pruned in place; "
                    "nothing was changed. Pass a copy: array.copy()."
                )
        self._masks = masks
        self.enforce()

    def enforce(self) -> None:
        for name, mask in self._masks.items():
            np.copyto(self._arrays[name], 0, where=~mask)

    def escaped(self) -> list[str]:
        return [name for name, mask in self._masks.items() if self._arrays[name][~mask].any()]

    def release(self) -> None:
        self._masks = {}


class NumpyAdapter(Adapter):
    """Binds mappings of name to array, or to ``(array, kind)``."""

    name = "numpy"

    def matches(self, model: object) -> bool:
        return isinstance(model, Mapping) and all(
            isinstance(_split(value)[0], np.ndarray) for value in model.values()
        )

    def bind(self, model: Mapping[str, Any]) -> ArrayBinding:
        weights: list[ArrayWeight] = []
        skipped: list[Skipped] = []
        seen: dict[tuple[Any, ...], str] = {}
        for name, value in model.items():
            array, kind = _split(value)
            place = (array.__array_interface__["data"][0], array.shape, array.strides)
            if reason := _refusal(name, array, kind):
                skipped.append(Skipped(name, reason))
            elif array.size and place in seen:
                skipped.append(Skipped(name, f"the same array as {seen[place]}"))
            else:
                seen[place] = name
                weights.append(ArrayWeight(_spec(name, array, kind), array))
        return ArrayBinding(weights, skipped)


def _split(value: Any) -> tuple[Any, str | None]:
    return value if isinstance(value, tuple) and len(value) == 2 else (value, None)


def _spec(name: str, array: Array, kind: Any) -> WeightSpec:
    kind = kind or ("dense" if array.ndim == 2 else "conv")
    layer, _, named = name.rpartition(":")
    if named in ROLES:
        return WeightSpec(name, kind, cast(Role, named), array.shape, array.dtype.name, layer)
    role: Role = "embedding" if kind == "embedding" else "kernel"
    return WeightSpec(
        name, kind, role, array.shape, array.dtype.name, name, aliases=(f"{name}:{role}",)
    )


def _refusal(name: str, array: Array, kind: str | None) -> str | None:
    """Return why an array is left dense, if it is; a kind that does not fit is an error."""
    if array.dtype.name not in FLOATS:
        return f"dtype {array.dtype} is not a floating-point type"
    if kind is None:
        return None if 2 <= array.ndim <= 5 else f"rank {array.ndim} is no kernel's"
    if kind not in RANKS:
        raise ModelError(f"{name}: no kind {kind!r}: {nearest(kind, RANKS)}")
    if array.ndim not in RANKS[kind]:
        wanted = " or ".join(map(str, RANKS[kind]))
        raise ModelError(
            f"{name}: kind {kind!r} has rank {wanted}, and the array's shape is {array.shape}"
        )
    return None
