"""Hooks on optimizers, so that masks follow every update that really happens.

Accumulating gradients calls `optimizer.step()` once per update, so it needs no care here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from secateur.errors import ModelError


class Follower:
    """Calls back after every update of the optimizers that own prunable weights.

    With several of them, one step is one update of the last; after an update of the
    others, the masks in force are applied and no step is counted.
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
        """Take the hooks off."""
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
    """Tell whether a GradScaler let a fused optimizer step over infinite gradients.

    It does not call `step()` of the others then, but fused ones look for themselves.
    """
    found = getattr(optimizer, "found_inf", None)
    return found is not None and bool(found)


def _was_rehearsal(optimizer: Optimizer) -> bool:
    """Tell whether a step could change nothing: rates and gradients were all zero.

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

    Raises ModelError for what is not an optimizer of torch, or when none of them does.
    """
    ours = {id(parameter) for parameter in parameters}
    given = [
        _checked(each)
        for each in (optimizer if isinstance(optimizer, list | tuple) else [optimizer])
    ]
    owning = [
        each
        for each in given
        if any(id(held) in ours for group in each.param_groups for held in group["params"])
    ]
    if not owning:
        raise ModelError(
            "optimizer= updates none of the prunable weights of this model. It may belong to "
            "another model, or to a copy, or be older than the model's present parameters: "
            "make the optimizer from model.parameters() after the model took its final form "
            "(moved, compiled, wrapped or sharded), then attach."
        )
    return owning


def _checked(optimizer: Any) -> Optimizer:
    while not hasattr(optimizer, "_optimizer_step_post_hooks") and hasattr(optimizer, "optimizer"):
        optimizer = optimizer.optimizer  # wrapped, as by accelerate
    if isinstance(optimizer, Optimizer) and hasattr(optimizer, "_optimizer_step_post_hooks"):
        return optimizer
    raise ModelError(
        f"optimizer= is a {type(optimizer).__name__}, which is not a torch.optim.Optimizer that "
        "can be followed; leave optimizer= out and call pruner.step() after each update"
    )
