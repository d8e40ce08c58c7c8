"""Hooks on optimizers, so that masks follow every update that really happens.

Accumulating gradients calls `optimizer.step()` once per update, so it needs no care here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.optim import Optimizer

from secateur.errors import ModelError

PATIENCE = 10
"""After how many counted steps an optimizer that makes none is not waited for."""


@dataclass(frozen=True)
class Turn:
    """Which parameters may be written after the update of one optimizer.

    A loss that was computed before may still need the parameters of the other optimizers as they
    are: its backward pass fails once they are written.

    Attributes:
        owned: The ids of the optimizer's own parameters.
        waiting: The ids of those that wait for their own optimizer's update; None for all that
            are not owned.

    """

    owned: AbstractSet[int]
    waiting: AbstractSet[int] | None = None

    def waits(self, parameter: object) -> bool:
        """Return whether a parameter is not to be written in this turn."""
        others = id(parameter) not in self.owned
        return others and (self.waiting is None or id(parameter) in self.waiting)


class OptimizerWatch:
    """Calls back after every update of the optimizers that own prunable weights.

    With several of them, one step is one update of the last; after an update of the others,
    the present masks are applied and no step is counted.  New masks reach the parameters of an
    optimizer that follows the last one in the loop when it makes its own update.

    Args:
        optimizers: The optimizers.
        step: Counts a step.
        enforce: Applies the present masks.
        take_turn: Called first with the parameters that may be written, and with None after.
        keep: Called with each optimizer that has updated parameters before a step is counted.

    Attributes:
        updates: How many updates of the last optimizer were made.

    """

    def __init__(
        self,
        optimizers: Sequence[Optimizer],
        step: Callable[[], object],
        enforce: Callable[[], object],
        take_turn: Callable[[Turn | None], object],
        keep: Callable[[Optimizer], object],
    ) -> None:
        self.updates = 0
        self.optimizers = tuple(optimizers)
        self._step, self._enforce, self._take_turn, self._keep = step, enforce, take_turn, keep
        self._seen: dict[int, int] = {}
        self._before_last: set[int] | None = None
        self._handles: list[Any] = []
        self._released = False

    def begin(self) -> None:
        """Register the hooks; after an error or interrupt `release` removes those that are."""
        for number, optimizer in enumerate(self.optimizers):
            hook = _hook(partial(self._updated, number), partial(self._unchanged, number))
            self._handles.append(optimizer.register_step_post_hook(hook))

    def release(self) -> None:
        """Remove the hooks."""
        self._released = True
        for handle in self._handles:
            handle.remove()

    def _updated(self, number: int) -> None:
        """Follow an update of the optimizer of that number."""
        if number < len(self.optimizers) - 1:
            self._seen[number] = self.updates
            self._keep(self.optimizers[number])
            self._unchanged(number)
            return
        self.updates += 1
        if self._before_last is None:  # the first round shows in which order the loop has them
            self._before_last = set(self._seen)
        others = (each for each in range(number) if self._is_later(each))
        waiting = (owned_ids(self.optimizers[each]) for each in others)
        self._in_turn(number, self._step, frozenset().union(*waiting))

    def _unchanged(self, number: int) -> None:
        self._in_turn(number, self._enforce)

    def _is_later(self, number: int) -> bool:
        """Return whether an optimizer makes its update after the last one, in each round."""
        is_idle = self.updates - self._seen.get(number, 0) > PATIENCE
        return number not in (self._before_last or ()) and not is_idle

    def _in_turn(
        self, number: int, act: Callable[[], object], waiting: AbstractSet[int] | None = None
    ) -> None:
        if self._released:
            return
        try:
            self._take_turn(Turn(owned_ids(self.optimizers[number]), waiting))
            act()
        finally:
            self._take_turn(None)


def _hook(updated: Callable[[], object], unchanged: Callable[[], object]) -> Any:
    """Return a hook that tells an update from a step that made none."""

    def hook(optimizer: Optimizer, args: object, kwargs: object) -> None:
        if _was_skipped(optimizer) or _was_rehearsal(optimizer):
            unchanged()
        else:
            updated()

    eager: Any = torch.compiler.disable  # a compiled train step breaks its graph here, once
    return eager(hook)


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
