"""What a model is verified against, checked: the policy, the step, and the masks that prove it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from secateur.components.values import whole
from secateur.errors import PolicyError, StateError, shown
from secateur.policy.policy import PolicyLike
from secateur.run.saved.state import MOST_STEPS
from secateur.verification.proofs import MasksLike, Proof, masks_proof, state_proof


@dataclass(frozen=True)
class Question:
    """What a model is verified against.

    Attributes:
        policy: The policy.
        at: The step; None for the step of the state or, without one, the final sparsity.
        masks: Masks that prove the zeros.
        state: A saved state, which proves them and knows its step.
        total_steps: The length of the run, for percentages.
        extra_zeros: The fraction of a weight that may be zero beyond what is asked.

    """

    policy: PolicyLike
    at: int | None = None
    masks: MasksLike | None = None
    state: MasksLike | None = None
    total_steps: int | None = None
    extra_zeros: float | None = None


def check_extra(extra: float | None) -> None:
    is_number = isinstance(extra, int | float) and not isinstance(extra, bool)
    if extra is not None and not (is_number and 0 <= extra <= 1):
        raise PolicyError(f"extra_zeros = {shown(extra)}: wanted a fraction from 0 to 1")


def proofs_of(question: Question) -> list[Proof]:
    found = [] if question.masks is None else [masks_proof(question.masks)]
    return found if question.state is None else [*found, state_proof(question.state)]


def step_of(question: Question, proofs: Sequence[Proof]) -> int | None:
    """Return the step that the masks must be of; None for the final sparsity."""
    at = question.at
    if at is not None and (whole(at) is None or not 0 <= at < MOST_STEPS):
        raise StateError(f"at = {shown(at)}: wanted a number of optimizer updates, from 0 to 2**62")
    if at is not None and question.total_steps is not None and at > question.total_steps:
        raise StateError(f"step {at} is beyond the end of a run of {question.total_steps} updates")
    for proof in proofs:
        if proof.step is not None:
            if at is not None and at != proof.step:
                raise StateError(
                    f"{proof.source} was saved at step {proof.step}, not {at}: leave out the step, "
                    "or give the state of that step"
                )
            return proof.step
    return at
