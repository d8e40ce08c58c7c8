"""Models from files: a checkpoint, or whatever an adapter reads.

Code is never taken from an argument: a model that only a program can build is planned by
that program, with `secateur.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secateur.adapter import Binding, Checkpoint
from secateur.checkpoints import SUFFIXES, open_checkpoint
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.infer_kinds import parse_kinds
from secateur.cli.output import progress
from secateur.compare.masks import ModelWeights
from secateur.errors import ModelError
from secateur.hooks.dispatch import bind
from secateur.hooks.registry import registry


def open_model(path: Path, kinds: Sequence[str] | None) -> tuple[Binding, bool]:
    """Return the model in a file, bound, and whether its kinds were assumed.

    Raises ModelError for a file that no adapter reads, and for kinds where they are known.
    """
    said = parse_kinds(kinds or ())
    with progress(f"reading {path}"):
        model = open_checkpoint(path) if path.suffix in SUFFIXES else _read(path)
        if isinstance(model, Checkpoint):
            return CheckpointBinding(model, said).binding, True
    if said:
        raise ModelError(f"{path}: the kinds of this model are known; leave out --kind")
    return bind(model), False


def open_source(path: Path) -> ModelWeights:
    """Return the weights in a file, for a comparison of masks."""
    with progress(f"reading {path}"):
        model = open_checkpoint(path) if path.suffix in SUFFIXES else _read(path)
        if isinstance(model, Checkpoint):
            return ModelWeights(CheckpointBinding(model).binding, model)
        return ModelWeights(bind(model))


def is_model_file(path: Path) -> bool:
    """Tell whether a file's ending is one of a model's."""
    return path.suffix in _suffixes()


def _suffixes() -> list[str]:
    return [*SUFFIXES, *(suffix for each in registry().adapters() for suffix in each.suffixes)]


def _read(path: Path) -> object:
    adapters = registry().adapters()
    for adapter in adapters:
        if path.suffix in adapter.suffixes:
            if not path.is_file():
                raise ModelError(f"{path}: no such file")
            return adapter.read_file(path)
    raise ModelError(
        f"{path}: no model of a known kind; there are: {', '.join(_suffixes())}. A model that a "
        "program builds is planned there, by secateur.plan(model, policy)."
    )
