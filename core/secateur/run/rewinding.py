"""Weights of an earlier step, checked whole before any of them is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from secateur.adapter import Binding, StateTensor, Weight
from secateur.checkpoints import open_checkpoint
from secateur.errors import ModelError, WeightError, in_words, listed, nearest, shown
from secateur.hooks.dispatch import bind
from secateur.layout import Array

_MOST_PROBLEMS = 4
Write = Callable[[], None]


def rewound(binding: Binding, pruned: Sequence[str], source: Any) -> list[Write]:
    """Return what writes the weights of an earlier step, all of which fit; changes nothing.

    Args:
        binding: The model.
        pruned: The names of the weights that must be among them.
        source: A mapping of name to array, the path of a file, or a model.

    Raises:
        ModelError: Something is missing, not known, or of another shape or dtype.
        WeightError: A value of a weight is NaN or infinite.

    """
    if isinstance(source, list | tuple):
        raise ModelError(
            f"rewind: a {type(source).__name__} has no names to tell weights by; pass a model, "
            "the path of a file, or a mapping of name to array"
        )
    arrays = _arrays_of(source, binding)
    weights = {
        name: weight
        for weight in binding.weights
        for name in (weight.spec.name, *weight.spec.aliases)
    }
    others = [name for name in arrays if name not in weights]
    tensors = _tensors(binding) if others else {}
    if unknown := [name for name in others if name not in tensors]:
        known = dict.fromkeys([weight.spec.name for weight in binding.weights] + [*tensors])
        raise ModelError(
            f"rewind: the model has no {listed(map(shown, unknown), 3)}: "
            f"{nearest(unknown[0], known)}; nothing was changed"
        )
    _check_each_once(binding, pruned, [n for n in arrays if n in weights], others, tensors)
    problems = list(_problems(arrays, weights, tensors))
    if problems:
        raise ModelError(f"rewind: {listed(problems, _MOST_PROBLEMS)}; nothing was changed")
    return [
        partial(_write_weight, weights[name], array)
        if name in weights
        else partial(tensors[name].write, array)
        for name, array in arrays.items()
    ]


def _arrays_of(source: Any, binding: Binding) -> dict[str, Array]:
    if isinstance(source, str | Path):
        checkpoint = open_checkpoint(Path(source))
        return {name: checkpoint.read(name) for name in checkpoint.tensors}
    if isinstance(source, Mapping):
        return {name: _array(name, value, binding) for name, value in _flat(source)}
    other = bind(source)
    if other.adapter == binding.adapter and not any(weight.sharded for weight in other.weights):
        return {tensor.name: np.array(tensor.read()) for tensor in other.tensors()}
    return {weight.spec.name: weight.read() for weight in other.weights}


def _flat(source: Mapping[Any, Any], inside: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the names and values of a mapping; of one in another by the path, joined by dots."""
    for key, value in source.items():
        if not isinstance(key, str) and not inside and not isinstance(value, Mapping):
            raise ModelError(f"rewind: names are strings, and a key is {shown(key)}")
        name = f"{inside}{key}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _array(name: str, value: Any, binding: Binding) -> Array:
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        value = value[0]  # (array, kind), as a model that is a mapping may hold it
    try:
        array = np.asarray(binding.from_native(value))
    except Exception as error:  # whatever NumPy, or a framework, raises for what it cannot read
        raise ModelError(
            f"rewind: {shown(name)} cannot be read as an array ({in_words(error, 200)}); nothing "
            "was changed"
        ) from error
    if array.dtype.hasobject:
        raise ModelError(
            f"rewind: {shown(name)} is a {type(value).__name__}, and no array; nothing was changed"
        )
    return array


def _tensors(binding: Binding) -> dict[str, StateTensor]:
    if any(weight.sharded for weight in binding.weights):
        return {}
    return {name: tensor for tensor in binding.tensors() for name in (tensor.name, *tensor.aliases)}


def _check_each_once(
    binding: Binding,
    pruned: Sequence[str],
    by_weight: Sequence[str],
    by_tensor: Sequence[str],
    tensors: Mapping[str, StateTensor],
) -> None:
    """Check that every pruned weight is there, and none of them twice."""
    held = {id(tensors[name]) for name in by_tensor}
    is_complete = bool(held) and held == set(map(id, tensors.values()))
    missing, twice = [], []
    for weight in binding.weights:
        name = weight.spec.name
        named = [each for each in by_weight if each in (name, *weight.spec.aliases)]
        lies_in = {id(tensor) for tensor in tensors.values() if _holds(tensor, name)}
        times = len(named) + bool(lies_in & held)
        if times > 1:
            twice.append(name)
        in_tensors = lies_in <= held if lies_in else is_complete  # or it is computed from others
        if name in pruned and not named and not in_tensors:
            missing.append(name)
    for names, why in ((missing, "has nothing for"), (twice, "has more than one array for")):
        if names:
            raise ModelError(
                f"rewind: what was given {why} {listed(names, 3)}; nothing was changed"
            )


def _holds(tensor: StateTensor, weight: str) -> bool:
    """Return whether a weight, or one of the pieces it is stacked from, lies in a tensor."""
    return any(weight in (part.weight, part.weight.rpartition(".")[0]) for part in tensor.parts)


def _problems(
    arrays: Mapping[str, Array], weights: Mapping[str, Weight], tensors: Mapping[str, StateTensor]
) -> Iterator[str]:
    for name, array in arrays.items():
        found = weights[name].spec if name in weights else tensors[name]
        if array.shape != found.shape:
            layout = "canonical shape" if name in weights else "shape"
            yield f"{shown(name)} has shape {array.shape}, and the {layout} is {found.shape}"
        elif array.dtype.name != found.dtype:
            yield f"{shown(name)} is {array.dtype}, and {found.dtype} in the model"
        elif not (weights[name] if name in weights else tensors[name]).writable:
            yield f"{shown(name)} cannot be written: it is read-only, or computed by its layer"
        elif name in weights or tensors[name].parts:
            _check_finite(name, array)


def _check_finite(name: str, array: Array) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        where = tuple(map(int, np.argwhere(~finite)[0]))
        raise WeightError(
            f"rewind: {shown(name)} at {where} is {array[where]}; nothing was changed"
        )


def _write_weight(weight: Weight, values: Array) -> None:
    if weight.sharded:
        values = values.reshape(-1)[weight.index(np.arange(weight.read().size))]
    weight.write(values)
