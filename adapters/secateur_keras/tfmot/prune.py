"""The toolkit's two verbs: mark a model to be pruned, and take the marks off."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import keras

from secateur.errors import ModelError, PolicyError, ScheduleWarning, shown
from secateur_keras.tfmot.guard import PruneLowMagnitude
from secateur_keras.tfmot.mark import (
    Mark,
    is_marked,
    layers_in,
    mark_of,
    marked_variables,
    put_on,
    take_off,
)
from secateur_keras.tfmot.policies import to_policy
from secateur_keras.tfmot.pruning_policy import PruningPolicy, functional_class
from secateur_keras.tfmot.run import end_runs, notes_of_runs
from secateur_keras.tfmot.schedules import ConstantSparsity, PruningSchedule
from secateur_keras.tfmot.settings import SINGLE, Settings

DEFAULT_SCHEDULE = ConstantSparsity(0.5, 0)
_PLAIN_SHAPE = "input_shape"


class WrongObjectError(ModelError, ValueError):
    """What was given is no layer or model of Keras 3; a ValueError, as in the toolkit."""


def prune_low_magnitude(
    to_prune: Any,
    pruning_schedule: PruningSchedule = DEFAULT_SCHEDULE,
    block_size: Sequence[int] = SINGLE,
    block_pooling_type: str = "AVG",
    pruning_policy: PruningPolicy | None = None,
    sparsity_m_by_n: Sequence[int] | None = None,
    **kwargs: Any,
) -> Any:
    """Mark a layer or model to be pruned while it trains; the layers stay what they are.

    Nothing is pruned yet: `UpdatePruningStep` does it during training.

    Args:
        to_prune: A model, a layer, or a list of layers.
        pruning_schedule: How sparse at which step.
        block_size: Inputs and outputs of the blocks that are kept or pruned as one.
        block_pooling_type: What a block is scored by: AVG, the mean of its magnitudes, or MAX.
        pruning_policy: Which layers of a model are pruned; None for all that can be.
        sparsity_m_by_n: ``(m, n)`` for m zeros in n consecutive weights along the inputs, from the
            first step on, whatever the schedule.
        **kwargs: For a layer, ``input_shape=``; ignored for a model and a list.

    Returns:
        For a Sequential or functional model a new one, not compiled, of the same layers, whose
        ``secateur_policy`` is the policy that the call means; for a subclassed model, a layer or a
        list of layers these themselves.

    Raises:
        PolicyError: A setting makes no sense, or `pruning_policy` refuses the model.
        ModelError: `to_prune` is nothing of the kind.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> pruned = prune_low_magnitude(model, ConstantSparsity(0.75, 0))
        >>> pruned.layers[0] is model.layers[0], pruned.secateur_policy.schedule.final
        (True, 0.75)

    """
    settings = Settings.checked(pruning_schedule, block_size, block_pooling_type, sparsity_m_by_n)
    if isinstance(to_prune, list):
        for layer in to_prune:
            _check_layer(layer)
        return [_marked(layer, settings, keep=True) for layer in to_prune]
    _check_layer(to_prune)
    if not isinstance(to_prune, keras.Model):
        _take_input_shape(to_prune, kwargs)
        return _marked(to_prune, settings)
    if pruning_policy is not None:
        pruning_policy.ensure_model_supports_pruning(to_prune)
    return _marked_model(to_prune, settings, pruning_policy)


def _check_layer(layer: Any) -> None:
    if not isinstance(layer, keras.layers.Layer):
        kind = f"{type(layer).__module__}.{type(layer).__qualname__}"
        hint = (
            ": that is of Keras 2; build the model with keras, and leave TF_USE_LEGACY_KERAS unset"
            if "tf_keras" in kind
            else ""
        )
        raise WrongObjectError(
            "prune_low_magnitude takes a model or layer of Keras 3, or a list of layers, not a "
            f"value of type {kind}{hint}"
        )


def _take_input_shape(layer: Any, kwargs: dict[str, Any]) -> None:
    unknown = sorted(set(kwargs) - {_PLAIN_SHAPE})
    if unknown:
        raise PolicyError(
            f"prune_low_magnitude: unknown argument {shown(unknown[0])}; for a layer there is "
            f"{_PLAIN_SHAPE}, other arguments go to the layer itself"
        )
    if _PLAIN_SHAPE in kwargs:
        layer._input_shape_arg = tuple(kwargs[_PLAIN_SHAPE])  # as Keras keeps its own argument


def _marked(layer: Any, settings: Settings, keep: bool = False) -> Any:
    if isinstance(layer, keras.layers.InputLayer) or (keep and is_marked(layer)):
        return layer
    end_runs(layer)
    take_off(layer)
    put_on(layer, Mark(settings))
    if any(each.built for each in layers_in(layer)) and marked_variables(layer):
        _show_policy(layer)
    return layer


def _marked_model(model: Any, settings: Settings, chosen: PruningPolicy | None) -> Any:
    result = plain_copy(model)
    inside = {id(each) for each in layers_in(model)}
    wanted = [
        layer
        for layer in leaves(model)
        if not isinstance(layer, keras.layers.InputLayer)
        and (chosen is None or chosen.allow_pruning(layer))
        and not _keeps_mark(layer, inside)
    ]
    for layer in wanted:
        end_runs(layer)
        take_off(layer)
        put_on(layer, Mark(settings, result))
    _show_policy(result)
    return result


def _keeps_mark(layer: Any, inside: Collection[int]) -> bool:
    """Return whether a layer is marked, and not by an earlier call on the layers `inside`.

    What was marked by itself stays as it is, as in the toolkit; so do the layers of a model that
    was returned before.
    """
    marks = [mark for each in layers_in(layer) if (mark := mark_of(each)) is not None]
    return is_marked(layer) and all(mark.owned_by_one_in(inside) for mark in marks)


def leaves(model: Any) -> Iterator[Any]:
    """Yield the layers of a model that are no models themselves, and those of the models in it."""
    seen: set[int] = set()
    for layer in model.layers:
        if id(layer) in seen:
            continue
        seen.add(id(layer))
        if isinstance(layer, keras.Model):
            yield from leaves(layer)
        else:
            yield layer


def _show_policy(pruned: Any) -> None:
    """Let a model or layer show its policy, once its weights are known."""
    try:
        policy = to_policy(pruned)
    except (ModelError, PolicyError):  # not built yet, or nothing to prune: training says so
        policy = None
    object.__setattr__(pruned, "secateur_policy", policy)


def plain_copy(model: Any) -> Any:
    """Return a model that is not compiled, of the same layers; a subclassed one itself.

    Args:
        model: Any model.

    """
    if type(model) is keras.Sequential:
        inputs = [layer for layer in model._layers if isinstance(layer, keras.layers.InputLayer)]
        start = [
            keras.Input(batch_shape=one.batch_shape, dtype=one.dtype, name=one.name)
            for one in inputs[:1]
        ]
        return keras.Sequential([*start, *model.layers], name=model.name)
    if type(model) is functional_class():
        return keras.Model(model.input, model.output, name=model.name)
    return model


def strip_pruning(model: Any) -> Any:
    """Return a plain model without marks, its pruned weights zero.

    Args:
        model: A model with marked layers.

    Returns:
        For a Sequential or functional model a new one, not compiled, with marked layers and their
        weights copied, and the others shared; the model that was given can be trained further. A
        subclassed model itself, whose pruning ends.

    Raises:
        ModelError: `model` is no model.

    Warns:
        ScheduleWarning: A schedule has not reached its final sparsity.

    Example:
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> strip_pruning(prune_low_magnitude(model)).layers[0].get_config()["kernel_constraint"]

    """
    if not isinstance(model, keras.Model):
        raise WrongObjectError(
            f"strip_pruning takes a model of Keras 3, not a value of type {type(model).__name__}"
        )
    for note in notes_of_runs(model):
        warnings.warn(note, ScheduleWarning, stacklevel=2)
    shared = plain_copy(model)
    if shared is model:
        end_runs(model)
        take_off(model)
        return model
    clones: list[tuple[Any, Any]] = []

    def clone(layer: Any) -> Any:
        if not is_marked(layer):
            return layer
        config = layer.get_config()
        clones.append((layer, layer.__class__.from_config(config)))
        return clones[-1][1]

    stripped = keras.models.clone_model(shared, clone_function=clone, recursive=True)
    for layer, copied in clones:
        take_off(copied)
        if layer.built and copied.built:
            copied.set_weights(layer.get_weights())
    return stripped


def prune_scope() -> Any:
    """Return a scope in which files of marked models are loaded with their marks.

    Example:
        >>> with prune_scope():
        ...     pass

    """
    return keras.saving.custom_object_scope({"PruneLowMagnitude": PruneLowMagnitude})
