"""Which layers and weights of a model are marked to be pruned, and how."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import Any

import keras
import numpy as np

from secateur import layer_weights
from secateur.adapter import Unprunable
from secateur_keras.layers import entries_of
from secateur_keras.tfmot.guard import Progress, PruneLowMagnitude
from secateur_keras.tfmot.settings import Settings
from secateur_keras.walk import children

ATTRIBUTE = "secateur_mark"
CONSTRAINTS = {
    "kernel_constraint": "kernel",
    "recurrent_constraint": "recurrent_kernel",
    "pointwise_constraint": "pointwise_kernel",
    "embeddings_constraint": "embeddings",
    "_kernel_constraint": "",  # of MultiHeadAttention, for the layers that it builds
}
"""Where layers of Keras keep the constraint of a kernel, and the kernel."""


class Mark(keras.layers.Layer):  # type: ignore[misc]
    """Holds on a layer how it is pruned; saved with its weights, it keeps the step.

    Args:
        settings: How the layer is pruned.
        owner: The model that `prune_low_magnitude` returned; None where it was given a layer.

    """

    def __init__(self, settings: Settings, owner: object | None = None) -> None:
        super().__init__(name=ATTRIBUTE)
        self.built = True
        self.settings, self.progress = settings, Progress()
        self._owner = None if owner is None else weakref.ref(owner)  # it holds this layer itself

    def owned_by_one_in(self, layers: Collection[int]) -> bool:
        """Return whether the layer was marked by itself, or with a model among some layers.

        Args:
            layers: The ids of the layers.

        """
        return self._owner is None or id(self._owner()) in layers

    def save_own_variables(self, store: Any) -> None:
        """Write the step beside the weights of the layer."""
        store["pruning_step"] = np.asarray(self.progress.step)

    def load_own_variables(self, store: Any) -> None:
        """Read the step, if the file holds one."""
        if "pruning_step" in list(store.keys()):
            self.progress.step = int(np.asarray(store["pruning_step"]))


Marking = Mark | PruneLowMagnitude


def mark_of(layer: Any) -> Mark | None:
    """Return the mark of a layer itself."""
    mark = vars(layer).get(ATTRIBUTE)
    return mark if isinstance(mark, Mark) else None


def put_on(layer: Any, mark: Mark) -> None:
    """Mark a layer and all in it, built or not; what is marked already keeps its mark."""
    # Past the layer's own __setattr__, which would track the mark as a layer.
    object.__setattr__(layer, ATTRIBUTE, mark)
    _guard(layer, mark)


def take_off(layer: Any) -> None:
    """Take the marks off a layer and all in it."""
    for each in layers_in(layer):
        if mark_of(each) is not None:
            object.__delattr__(each, ATTRIBUTE)
        for name, guard in _guards(each):
            setattr(each, name, guard.own)
        for variable in each.variables:
            if isinstance(getattr(variable, "constraint", None), PruneLowMagnitude):
                variable.constraint = variable.constraint.own


def layers_in(layer: Any) -> Iterator[Any]:
    """Yield a layer and every layer in it, each once."""
    seen: set[int] = set()
    todo = [layer]
    while todo:
        each = todo.pop(0)
        if id(each) not in seen:
            seen.add(id(each))
            yield each
            todo += children(each)


def is_marked(layer: Any) -> bool:
    """Return whether a layer itself, or a layer in it, is marked."""
    return any(mark_of(each) or any(_guards(each)) for each in layers_in(layer))


def marked_variables(model: Any) -> dict[int, Marking]:
    """Return what marks the variables of a model, by their id; the innermost mark counts."""
    found: dict[int, Marking] = {}
    _collect(model, None, found, frozenset())
    return found


def _collect(
    layer: Any, above: Marking | None, found: dict[int, Marking], parents: frozenset[int]
) -> None:
    guards = [guard for _, guard in _guards(layer)]
    marking = mark_of(layer) or above or next(iter(guards), None)
    if marking is not None:
        found.update((id(variable), marking) for variable in layer.variables)
    for inner in children(layer):
        if id(inner) not in parents:
            _collect(inner, marking, found, parents | {id(layer)})


def _guards(layer: Any) -> Iterator[tuple[str, PruneLowMagnitude]]:
    """Yield the guards that a layer keeps itself, and where."""
    for name in CONSTRAINTS:
        if isinstance(guard := vars(layer).get(name), PruneLowMagnitude):
            yield name, guard


def _guard(layer: Any, mark: Mark) -> None:
    for name, weight in CONSTRAINTS.items():
        if name in vars(layer):
            guard = PruneLowMagnitude(mark.settings, mark.progress, _own(vars(layer)[name]))
            setattr(layer, name, guard)
            _put_before(getattr(layer, weight, None) if weight and layer.built else None, guard)
    for variable in _prunable(layer):
        if not isinstance(variable.constraint, PruneLowMagnitude):
            guard = PruneLowMagnitude(mark.settings, mark.progress, variable.constraint)
            _put_before(variable, guard)
    for inner in children(layer):
        if mark_of(inner) is None:
            _guard(inner, mark)


def _own(constraint: Any) -> Any:
    return constraint.own if isinstance(constraint, PruneLowMagnitude) else constraint


def _put_before(variable: Any, guard: PruneLowMagnitude) -> None:
    if hasattr(variable, "constraint"):
        variable.constraint = guard


def _prunable(layer: Any) -> list[Any]:
    """Return the variables of a layer that can be pruned, as far as they exist."""
    try:
        entries = layer_weights("keras", layer)
        if entries is None:
            entries = entries_of(layer) or ()
    except Unprunable:
        return []
    if not layer.built:
        return []
    found = [attrgetter(entry.attribute)(layer) for entry in entries if entry.kind != "depthwise"]
    return [variable for variable in found if hasattr(variable, "constraint")]
