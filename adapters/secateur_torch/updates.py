"""Hooks on optimizers, so that masks follow every update that really happens.

Accumulating gradients calls `optimizer.step()` once per update, so it needs no care here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from secateur.errors import ModelError


class OptimizerWatch:
    """Calls back after every update of the optimizers that own prunable weights.

    With several of them, one step is one update of the last; after an update of the others,
    the present masks are applied and no step is counted.

    Attributes:
        updates: How many updates of the last optimizer were made.

    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        step: Callable[[], object],
        enforce: Callable[[], object],
    ) -> None:
        self.updates = 0

        def count() -> None:
            self.updates += 1
            step()

        *others, last = optimizers
        self._handles = [_after(optimizer, enforce, enforce) for optimizer in others]
        self._handles.append(_after(last, count, enforce))

    def release(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()


def _after(optimizer: Optimizer, act: Callable[[], object], enforce: Callable[[], object]) -> Any:
    def hook(optimizer: Optimizer, args: object, kwargs: object) -> None:
        if _was_skipped(optimizer) or _was_rehearsal(optimizer):
            enforce()
        else:
            act()

    eager: Any = torch.compiler.disable  # a compiled train step breaks its graph here, once
    return optimizer.register_step_post_hook(eager(hook))


def _was_skipped(optimizer: Optimizer) -> bool:
    """Return whether a GradScaler let a fused optimizer step over infinite gradients.

    It does not call `step()` of the others then, but fused ones look for themselves.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def _was_rehearsal(optimizer: Optimizer) -> bool:
    """Return whether a step could change nothing: rates and gradients were all zero.

    By such steps torch.distributed.checkpoint makes optimizers fill their state.
    """
    groups = optimizer.param_groups
    if any(group.get("lr", 1) for group in groups):
        return False
    return not any(
        parameter.grad.any()
        for group in groups
        for parameter in group["params"]
        if parameter.grad is not None
    )


def owners(optimizer: object, parameters: Collection[torch.Tensor]) -> list[Optimizer]:
    """Return the optimizers, of one or a list of them, that update some of the parameters.

    Args:
        optimizer: An optimizer, or a list of optimizers.
        parameters: The prunable parameters.

    Raises:
        ModelError: Something in it is not an optimizer of torch, or none updates any of them.

    """
    ours = {id(parameter) for parameter in parameters}
    several = optimizer if isinstance(optimizer, list | tuple) else [optimizer]
    given = [_unwrapped(each) for each in several]
    owning = [each for each in given if ours & owned_ids(each)]
    if not owning:
        raise ModelError(
            "optimizer= updates none of the prunable weights of this model. It may belong to "
            "another model, or to a copy, or be older than the model's present parameters: "
            "make the optimizer from model.parameters() after the model took its final form "
            "(moved, compiled, wrapped or sharded), then attach."
        )
    return owning


def owned_ids(optimizer: Optimizer) -> set[int]:
    """Return the ids of the parameters that an optimizer updates."""
    return {id(held) for group in optimizer.param_groups for held in group["params"]}


def _unwrapped(optimizer: Any) -> Optimizer:
    while not _is_initialized(optimizer) and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer  # wrapped, as by accelerate
    if isinstance(optimizer, Optimizer) and _is_initialized(optimizer):
        return optimizer
    raise ModelError(
        f"optimizer= is a {type(optimizer).__name__}, which is not a torch.optim.Optimizer that "
        "can be watched; leave optimizer= out and call pruner.step() after each update"
    )


def _is_initialized(optimizer: object) -> bool:
    """Return whether Optimizer.__init__ ran: a wrapper derives from it for its name alone."""
    return "param_groups" in getattr(optimizer, "__dict__", {})
