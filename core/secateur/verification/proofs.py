"""The masks that a file is proven by: those of a saved state, or of a plain .npz of bools."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from secateur.checkpoints import SUFFIXES, open_checkpoint
from secateur.errors import StateError, shown
from secateur.layout import Array
from secateur.run.saved import state as states
from secateur.run.saved.state import State

MasksLike = str | os.PathLike[str] | Mapping[str, Any]
"""A file of masks, or masks by the name of their weight."""


_WRITERS = "pruner.save() or `secateur prune --masks`"
_STATE_AS_MASKS = (
    "{path} is the state of a run at step {step}, and was given as masks, so its step counts for "
    "nothing; give it as state (--state) to verify that step"
)
_MASKS_AS_STATE = (
    "{path} is no state of a run: it holds the masks that `secateur prune --masks` wrote, "
    "which belong to no step; give it as masks (--masks)"
)


@dataclass(frozen=True)
class Proof:
    """Masks, and what is known of the run that they are from.

    Attributes:
        source: What they are called in messages.
        masks: The masks by weight name: bool, canonical, True = kept.
        fingerprint: The policy's; None where it is not known.
        step: The step of a saved state; None for masks of the final sparsity.
        began: By rule, the step at which a schedule with ``begin_when`` began.
        note: What else the file is than what was wanted, in words.

    """

    source: str
    masks: Mapping[str, Array]
    fingerprint: str | None = None
    step: int | None = None
    began: Mapping[int, int] = field(default_factory=dict)
    note: str = ""


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
        note = "" if _is_one_shot(saved) else _STATE_AS_MASKS.format(path=path, step=saved.step)
        return Proof(str(path), saved.masks, saved.fingerprint, note=note)
    if path.suffix not in SUFFIXES and not path.is_dir():
        raise StateError(f"{path}: no file of masks; give what {_WRITERS} wrote")
    checkpoint = open_checkpoint(path)
    if not checkpoint.tensors:
        raise StateError(f"{path}: holds no masks; give what {_WRITERS} wrote")
    for tensor in checkpoint.tensors.values():
        if tensor.dtype != "bool":
            raise StateError(
                f"{path}: {tensor.name:.80} is {tensor.dtype}, and a mask is bool: give what "
                f"{_WRITERS} wrote"
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
    if _is_one_shot(saved):
        note = _MASKS_AS_STATE.format(path=source)
        return Proof(source, saved.masks, saved.fingerprint, note=note)
    step = saved.step if saved.evaluated is None else saved.evaluated
    return Proof(source, saved.masks, saved.fingerprint, step, saved.began)


def _is_one_shot(saved: State) -> bool:
    """Return whether these are masks of the final sparsity, which belong to no step."""
    return saved.about.get("one_shot") is True


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
