"""The reference adapter: a mapping of name to NumPy array is a model too.

It needs no framework, and is what parity is measured against.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from secateur.adapter import (
    ATTACH_AGAIN,
    Adapter,
    Collected,
    Found,
    LayerWeight,
    PairedBinding,
    Skipped,
    StatePart,
    StateTensor,
    Weight,
    WeightSpec,
    collect,
    layer_order,
)
from secateur.arrays.clearing import clear_pruned
from secateur.arrays.memory import overlaps
from secateur.errors import ModelError, nearest, shown
from secateur.kinds import kind_named, kind_names, role_names
from secateur.layout import FLOATS, Array


class ArrayWeight(Weight):
    """An array of the mapping, which is canonical already.

    Args:
        spec: What is known of it.
        array: The array.
        names: Its names in the mapping.

    """

    def __init__(self, spec: WeightSpec, array: Array, names: Sequence[str]) -> None:
        self.spec, self.array, self.names = spec, array, names

    def read(self) -> Array:
        view = self.array.view()
        view.flags.writeable = False
        return view

    @property
    def writable(self) -> bool:
        return self.array.flags.writeable

    def write(self, values: Array) -> None:
        self.array[...] = values

    def identity(self) -> Array:
        return self.array

    def change(self, array: Array) -> str | None:
        """Return how an array differs from the one that was bound, or None if it does not."""
        if array.shape != self.spec.shape:
            return f"has shape {array.shape} now, and had {self.spec.shape}"
        if array.dtype.name != self.spec.dtype:
            return f"is {array.dtype.name} now, and was {self.spec.dtype}"
        if _place(array) != _place(self.array):
            return "is another array now"
        return None


class ArrayBinding(PairedBinding[ArrayWeight, Array]):
    """A mapping of arrays, bound; it is pruned in place.

    Args:
        model: The mapping.
        weights: Its prunable arrays.
        skipped: The others.

    """

    adapter = "numpy"

    def __init__(
        self,
        model: Mapping[str, Any],
        weights: Sequence[ArrayWeight],
        skipped: Sequence[Skipped],
    ) -> None:
        super().__init__(weights, skipped)
        self._model = model
        sizes = [weight.spec.size for weight in weights] + [each.size for each in skipped]
        self.parameters = sum(sizes)

    def native_mask(self, weight: ArrayWeight, mask: Array) -> Array:
        _check_as_bound(weight)
        return mask

    def zero(
        self, pairs: Sequence[tuple[ArrayWeight, Array]]
    ) -> Sequence[tuple[ArrayWeight, Array]]:
        for weight, _ in pairs:
            _check_as_bound(weight)
        for weight, mask in pairs:
            clear_pruned(weight.array, mask)
        return pairs

    def nonzero_pruned(self) -> dict[str, int]:
        changes = self.model_changes()
        counts = {
            weight.spec.name: int(np.count_nonzero(weight.array[~mask]))
            for weight, mask in self.pairs
            if weight.spec.name not in changes
        }
        return {name: count for name, count in counts.items() if count}

    def tensors(self) -> list[StateTensor]:
        specs = {name: weight.spec for weight in self.weights for name in weight.names}
        found: dict[object, list[str]] = {}
        for name, value in self._model.items():
            array, _ = _split(value)
            found.setdefault(_place(array) if array.size else name, []).append(name)
        return [
            _state_tensor(_split(self._model[names[0]])[0], names, specs.get(names[0]))
            for names in found.values()
        ]

    def model_changes(self) -> dict[str, str]:
        return {
            weight.spec.name: note
            for weight in self.weights
            for name in reversed(weight.names)
            if (note := self._change(weight, name))
        }

    def _change(self, weight: ArrayWeight, name: str) -> str | None:
        if name not in self._model:
            return (
                f"{name} is gone from the mapping; the pruner still masks the array it was"
                f"{ATTACH_AGAIN}"
            )
        array, _ = _split(self._model[name])
        if not isinstance(array, np.ndarray):
            return (
                f"{name} is a {type(array).__name__} now, and was an array: it is not masked"
                f"{ATTACH_AGAIN}"
            )
        if how := weight.change(array):
            return (
                f"{name} {how}, and is not masked: values were not written into the array that was "
                f"attached, as by weights[name][...] = values{ATTACH_AGAIN}"
            )
        return None


def _state_tensor(array: Array, names: Sequence[str], spec: WeightSpec | None) -> StateTensor:
    def write(values: Array) -> None:
        array[...] = values

    def read() -> Array:
        return array

    parts = () if spec is None else (StatePart(spec.name, spec.kind),)
    return StateTensor(
        names[0],
        array.shape,
        array.dtype.name,
        read,
        write,
        parts,
        aliases=tuple(names[1:]),
        writable=array.flags.writeable,
    )


def _check_as_bound(weight: ArrayWeight) -> None:
    if how := weight.change(weight.array):
        raise ModelError(f"{weight.spec.name} {how}, so that its mask no longer fits{ATTACH_AGAIN}")
    if not weight.array.flags.writeable:
        raise ModelError(
            f"{weight.spec.name}: the array is read-only, and a mapping is pruned in place; "
            "nothing was changed. Pass a copy: array.copy()."
        )


class NumpyAdapter(Adapter):
    """Binds mappings of name to array, or to ``(array, kind)``: the reference adapter.

    Example:
        >>> binding = NumpyAdapter().bind({"fc": np.ones((2, 3)), "bias": np.ones(3)})
        >>> [weight.spec.name for weight in binding.weights], binding.skipped[0].name
        (['fc'], 'bias')

    """

    name = "numpy"

    def matches(self, model: object) -> bool:
        return isinstance(model, Mapping) and all(
            isinstance(_split(value)[0], np.ndarray) for value in model.values()
        )

    def hint(self, model: object) -> str | None:
        if not isinstance(model, Mapping):
            return None
        name, value = next(
            (name, each)
            for name, each in model.items()
            if not isinstance(_split(each)[0], np.ndarray)
        )
        kind = type(_split(value)[0])
        return (
            f"{shown(name)} is a {kind.__module__}.{kind.__qualname__} and no NumPy array: pass "
            "the model itself, or a mapping of arrays alone."
        )

    def bind(self, model: Mapping[str, Any]) -> ArrayBinding:
        collected, skipped = collect(_walk(model))
        _refuse_overlaps(collected)
        weights = [
            ArrayWeight(_spec(each), each.found.where, (each.found.name, *each.aliases))
            for each in collected
        ]
        binding = ArrayBinding(model, weights, skipped)
        binding.layers = layer_order(collected)
        return binding


def _walk(model: Mapping[str, Any]) -> Iterator[Found[Array] | Skipped]:
    """Yield every array of a mapping; one that it holds under several names is a tied weight."""
    for name, value in model.items():
        if not isinstance(name, str):
            raise ModelError(f"names of weights are strings, and a key is {shown(name)}")
        array, kind = _split(value)
        if isinstance(array, np.matrix):
            array = array.view(np.ndarray)
        if reason := _refusal(name, array, kind):
            yield Skipped(name, reason, array.size)
            continue
        layer, role = _layer_and_role(name, kind)
        entry = LayerWeight("", kind or ("dense" if array.ndim == 2 else "conv"), role)
        yield Found(name, layer, entry, _place(array) if array.size else name, array)


def _refuse_overlaps(weights: Sequence[Collected[Array]]) -> None:
    """Raise ModelError for two weights that share memory and are not the same."""
    for first, second in overlaps([each.found.where for each in weights]):
        one, other = weights[first].found, weights[second].found
        raise ModelError(
            f"{one.name:.200} {one.where.shape} and {other.name:.200} {other.where.shape} are "
            "views of the same memory and not the same weight, so each would undo the other's "
            "masks. Pass one of them, or give each its own memory: array.copy()."
        )


def _place(array: Array) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Return where in memory an array lies, and how."""
    return array.__array_interface__["data"][0], array.shape, array.strides


def _split(value: Any) -> tuple[Any, str | None]:
    return value if isinstance(value, tuple) and len(value) == 2 else (value, None)


def _layer_and_role(name: str, kind: str | None) -> tuple[str, str]:
    """Return the layer that a name is of, and the role; a name may end in ``:role``."""
    layer, _, named = name.rpartition(":")
    if named in role_names():
        return layer, named
    return name, "embedding" if kind == "embedding" else "kernel"


def _spec(collected: Collected[Array]) -> WeightSpec:
    found, entry = collected.found, collected.found.entry
    known = [found.name, *collected.aliases]
    longer = [f"{name}:{entry.role}" for name in known if _layer_and_role(name, None)[0] == name]
    return WeightSpec(
        found.name,
        entry.kind,
        entry.role,
        found.where.shape,
        found.where.dtype.name,
        found.layer,
        aliases=(*longer, *collected.aliases),
        alias_layers=collected.alias_layers,
    )


def _refusal(name: str, array: Array, kind: str | None) -> str | None:
    """Return why an array is left dense, if it is; a kind that does not fit is an error."""
    if isinstance(array, np.ma.MaskedArray):
        return "a masked array; pass its .data"
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
