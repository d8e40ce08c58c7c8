"""The masks that a file is proven by: those of a saved state, or of a plain .npz of bools."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from secateur.checkpoints import open_checkpoint
from secateur.errors import StateError, shown
from secateur.layout import Array
from secateur.run.saved import state as states
from secateur.run.saved.state import State

MasksLike = str | os.PathLike[str] | Mapping[str, Any]
"""A file of masks, or masks by the name of their weight."""


@dataclass(frozen=True)
class Proof:
    """Masks, and what is known of the run that they are from.

    Attributes:
        source: What they are called in messages.
        masks: The masks by weight name: bool, canonical, True = kept.
        fingerprint: The policy's; None where it is not known.
        step: The step of a saved state; None for masks of the final sparsity.
        began: By rule, the step at which a schedule with ``begin_when`` began.

    """

    source: str
    masks: Mapping[str, Array]
    fingerprint: str | None = None
    step: int | None = None
    began: Mapping[int, int] = field(default_factory=dict)


def masks_proof(masks: MasksLike) -> Proof:
    """Return masks as they were given; the step of a state counts for nothing.

    Args:
        masks: A file of `pruner.save` or ``prune --masks``, an .npz of bools, or a mapping.

    Raises:
        StateError: They are no masks.

    """
    if isinstance(masks, Mapping):
        return Proof(
            "the mapping", {_name(name): _mask(name, mask) for name, mask in masks.items()}
        )
    path = Path(masks)
    if _is_state(path):
        saved = states.load(path)
        return Proof(str(path), saved.masks, saved.fingerprint)
    checkpoint = open_checkpoint(path)
    if not checkpoint.tensors:
        raise StateError(f"{path}: holds no masks")
    for tensor in checkpoint.tensors.values():
        if tensor.dtype != "bool":
            raise StateError(
                f"{path}: {tensor.name:.80} is {tensor.dtype}, and a mask is bool: give what "
                "pruner.save() or `secateur prune --masks` wrote"
            )
    return Proof(str(path), {name: checkpoint.read(name) for name in checkpoint.tensors})


def state_proof(state: MasksLike) -> Proof:
    """Return the masks of a saved state, with its step.

    Args:
        state: A file of `pruner.save`, or a state of `pruner.state_dict`.

    Raises:
        StateError: It is no state.

    """
    if isinstance(state, Mapping):
        source = "the mapping"
        saved = State.from_arrays({name: np.asarray(value) for name, value in state.items()})
    else:
        source = str(state)
        saved = states.load(Path(state))
    if saved.about.get("one_shot") is True:
        return Proof(source, saved.masks, saved.fingerprint)
    step = saved.step if saved.evaluated is None else saved.evaluated
    return Proof(source, saved.masks, saved.fingerprint, step, saved.began)


def _is_state(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return {"secateur.npy", "step.npy"} <= set(archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError):
        return False  # the reader of checkpoints says what it is


def _name(name: object) -> str:
    if not isinstance(name, str):
        raise StateError(f"masks are given by the name of their weight, not by {shown(name)}")
    return name


def _mask(name: object, mask: Any) -> Array:
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise StateError(f"the mask of {shown(name)} is {array.dtype}; wanted bool, True = kept")
    return array
