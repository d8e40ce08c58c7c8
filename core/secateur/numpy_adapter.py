"""The reference adapter: a mapping of name to NumPy array is a model too.

It needs no framework, and is what parity is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from secateur.adapter import Adapter, PairedBinding, Skipped, Weight, WeightSpec
from secateur.errors import ModelError, nearest
from secateur.kinds import kind_named, kind_names, role_names
from secateur.layout import FLOATS, Array


class ArrayWeight(Weight):
    """An array of the mapping, which is canonical already."""

    def __init__(self, spec: WeightSpec, array: Array) -> None:
        self.spec, self.array = spec, array

    def read(self) -> Array:
        view = self.array.view()
        view.flags.writeable = False
        return view


class ArrayBinding(PairedBinding[ArrayWeight, Array]):
    """A mapping of arrays, bound; it is pruned in place."""

    adapter = "numpy"

    def native_mask(self, weight: ArrayWeight, mask: Array) -> Array:
        if not weight.array.flags.writeable:
            raise ModelError(
                f"{weight.spec.name}: the array is read-only, and a mapping is pruned in place; "
                "nothing was changed. Pass a copy: array.copy()."
            )
        return mask

    def zero(
        self, pairs: Sequence[tuple[ArrayWeight, Array]]
    ) -> Sequence[tuple[ArrayWeight, Array]]:
        for weight, mask in pairs:
            np.copyto(weight.array, 0, where=~mask)
        return pairs

    def nonzero_pruned(self) -> dict[str, int]:
        counts = {w.spec.name: int(np.count_nonzero(w.array[~mask])) for w, mask in self.pairs}
        return {name: count for name, count in counts.items() if count}


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
    if named in role_names():
        return WeightSpec(name, kind, named, array.shape, array.dtype.name, layer)
    role = "embedding" if kind == "embedding" else "kernel"
    return WeightSpec(
        name, kind, role, array.shape, array.dtype.name, name, aliases=(f"{name}:{role}",)
    )


def _refusal(name: str, array: Array, kind: str | None) -> str | None:
    """Return why an array is left dense, if it is; a kind that does not fit is an error."""
    if array.dtype.name not in FLOATS:
        return f"dtype {array.dtype} is not a floating-point type"
    if kind is None:
        return None if 2 <= array.ndim <= 5 else f"rank {array.ndim} is no kernel's"
    if kind not in kind_names():
        raise ModelError(f"{name}: no kind {kind!r}: {nearest(kind, kind_names())}")
    ranks = kind_named(kind).ranks
    if array.ndim not in ranks:
        wanted = " or ".join(map(str, ranks))
        raise ModelError(
            f"{name}: kind {kind!r} has rank {wanted}, and the array's shape is {array.shape}"
        )
    return None
