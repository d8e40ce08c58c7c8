"""Checks of the weights that a plugin gives for a custom layer, before an adapter uses them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from secateur.adapter import LayerWeight
from secateur.errors import nearest, shown
from secateur.kinds import kind_named, kind_names, role_names


def layer_weights_problem(layer: object, answer: Any) -> str | None:
    """Return what is wrong with a plugin's weights of a layer; None when nothing is.

    Example:
        >>> layer = type("Layer", (), {"w": np.zeros((4, 3, 2))})
        >>> layer_weights_problem(layer, [LayerWeight("w", "attention")])
        'w: kind attention has rank 2 in canonical layout, and its layout leads from (4, 3, 2)...'

    """
    if not isinstance(answer, Sequence) or not all(isinstance(w, LayerWeight) for w in answer):
        return f"returned {shown(answer)}; wanted a list of LayerWeight, or None"
    return next((why for weight in answer if (why := _weight(layer, weight))), None)


def _weight(layer: object, weight: LayerWeight) -> str | None:
    for word, known in ((weight.kind, kind_names()), (weight.role, role_names())):
        if word not in known:
            return f"{weight.attribute}: no kind or role {shown(word)}: {nearest(str(word), known)}"
    try:
        value = attrgetter(weight.attribute)(layer)
    except AttributeError:
        return f"{weight.attribute}: the layer has no such attribute"
    shape = getattr(value, "shape", None)
    if shape is None:
        return None  # not built yet, or no array at all: the adapter has its own words
    native = np.broadcast_to(np.zeros((), np.int8), tuple(shape))  # one byte, whatever the shape
    try:
        canonical = weight.layout.to_canonical(native).shape
    except ValueError as error:
        return f"{weight.attribute}: its layout does not fit shape {tuple(shape)}: {error}"
    ranks = kind_named(weight.kind).ranks
    if len(canonical) not in ranks:
        wanted = " or ".join(map(str, ranks))
        return (
            f"{weight.attribute}: kind {weight.kind} has rank {wanted} in canonical layout, and "
            f"its layout leads from {tuple(shape)} to {canonical}"
        )
    return None
