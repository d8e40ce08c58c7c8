"""Models from files: a checkpoint, or whatever an adapter reads.

Code is never taken from an argument: a model that only a program can build is planned by
that program, with `secateur.plan`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from secateur.adapter import Binding, Checkpoint
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.infer_kinds import parse_kinds
from secateur.cli.output import progress
from secateur.compare.masks import ModelWeights
from secateur.errors import ModelError
from secateur.hooks.dispatch import bind
from secateur.policy import ready
from secateur.policy.sources import FORMATS
from secateur.shipping.model_files import model_suffixes, read_model_file


@dataclass(frozen=True)
class OpenModel:
    """The model in a file.

    Attributes:
        model: The model, or the checkpoint.
        binding: The model, bound.
        notes: What was assumed of it; nothing where the file says all.

    """

    model: object
    binding: Binding
    notes: Sequence[str] = ()


def open_model(path: Path, kinds: Sequence[str] | None) -> OpenModel:
    """Return the model in a file.

    Raises:
        ModelError: No adapter reads the file, or kinds are given where they are known.

    """
    said = parse_kinds(kinds or ())
    with progress(f"reading {path}"):
        model = read_model_file(path)
        if isinstance(model, Checkpoint):
            bound = CheckpointBinding(model, said)
            return OpenModel(model, bound.binding, bound.notes)
    if said:
        raise ModelError(f"{path}: the kinds of this model are known; leave out --kind")
    return OpenModel(model, bind(model))


def open_weights(path: Path) -> ModelWeights:
    """Return the weights in a file, for a comparison of masks."""
    with progress(f"reading {path}"):
        model = read_model_file(path)
        if isinstance(model, Checkpoint):
            return ModelWeights(CheckpointBinding(model).binding, model)
        return ModelWeights(bind(model))


def in_order(policy: str, model: Path) -> tuple[str, Path]:
    """Return a policy and a model that were given in either order, told by their endings.

    Args:
        policy: What was given where the policy is expected.
        model: What was given where the model is expected.

    Raises:
        ModelError: Both are policies, or both are models.

    """
    are_models = is_model_file(Path(policy)), is_model_file(model)
    if all(are_models) and policy not in ready.names():
        raise ModelError(f"{policy} and {model}: two models; one of the two must be a policy")
    if _is_policy(policy) and _is_policy(str(model)) and not any(are_models):
        raise ModelError(
            f"{policy} and {model}: two policies; one of the two must be a model, and there are: "
            f"{', '.join(model_suffixes())}"
        )
    if are_models == (True, False) or (model.suffix in FORMATS and not _is_policy(policy)):
        return str(model), Path(policy)
    return policy, model


def _is_policy(name: str) -> bool:
    return name in ready.names() or Path(name).suffix in FORMATS


def is_model_file(path: Path) -> bool:
    """Return whether a path has the suffix of a model's file, or is a folder."""
    return path.suffix in model_suffixes() or path.is_dir()
