"""Whether a model is trained without the pruner seeing it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from secateur.errors import ModelError, StateWarning, listed
from secateur_torch.updates import OptimizerWatch, owned_ids
from secateur_torch.weight import TorchWeight

_SHOWN = 5


@dataclass
class Training:
    """What was seen of the weights' training since attach.

    Attributes:
        counted: Whether a step was counted, or masks were applied by hand.
        pruned: The names of the weights that the plan prunes.
        seen: By name, the id of the parameter and how often it had been written in place, when
            the pruner wrote it last.

    """

    counted: bool = False
    pruned: frozenset[str] = frozenset()
    seen: dict[str, tuple[int, int]] = field(default_factory=dict)

    def begin(self, weights: Sequence[TorchWeight], pruned: Sequence[str]) -> None:
        """Begin to look at the weights that the plan prunes."""
        self.pruned = frozenset(pruned)
        for weight in self._trainable(weights):
            self.note(weight.spec.name, weight.slot.parameter)

    def note(self, name: str, parameter: Tensor) -> None:
        """Note that a weight is as the pruner left it."""
        self.seen[name] = (id(parameter), _writes(parameter))

    def forgotten(self, weights: Sequence[TorchWeight], watch: OptimizerWatch | None) -> str | None:
        """Return a note when weights were trained and no step was counted, else None."""
        if watch.updates if watch else self.counted:
            return None
        if not any(self._was_trained(weight) for weight in self._trainable(weights)):
            return None
        if watch is None:
            return (
                "the weights were updated and no step was counted, so the schedule did not move: "
                "pass optimizer= to secateur.attach(), or call pruner.step() after each update"
            )
        name = type(watch.optimizers[-1]).__name__
        return (
            f"the weights were updated and {name}.step() was never called, so the schedule did "
            "not move: pass the optimizer that makes the updates, such as the base_optimizer of "
            "one that wraps it, or leave optimizer= out and call pruner.step() after each update"
        )

    def warn_of_others(self, weights: Sequence[TorchWeight], watched: Sequence[Optimizer]) -> None:
        """Warn of weights that are pruned and trained, and that no watched optimizer updates."""
        owned = set().union(*map(owned_ids, watched))
        names = [w.spec.name for w in self._trainable(weights) if id(w.current()) not in owned]
        if names:
            warnings.warn(
                f"optimizer= does not update {listed(names, _SHOWN)}, which the policy "
                "prunes: they get new masks, and when something else updates them, pruned values "
                "come back. Pass all optimizers, as optimizer=[one, two], or make the optimizer "
                "from the model's present parameters",
                StateWarning,
                stacklevel=6,
            )

    def _trainable(self, weights: Sequence[TorchWeight]) -> list[TorchWeight]:
        return [w for w in weights if w.spec.name in self.pruned and w.spec.trainable]

    def _was_trained(self, weight: TorchWeight) -> bool:
        """Return whether a weight was updated; loading values into it once is no update."""
        try:
            parameter = weight.current()
        except ModelError:
            return False
        # the query, key and value of one parameter are written one after another
        noted = [writes for known, writes in self.seen.values() if known == id(parameter)]
        is_known = self.seen.get(weight.spec.name, (0, 0))[0] == id(parameter)
        more = _writes(parameter) - max(noted) if is_known else 0
        return more > (0 if parameter.grad is not None else 1)


def _writes(parameter: Any) -> int:
    """Return how often a parameter was written in place, as autograd counts it."""
    return 0 if parameter.is_inference() else getattr(parameter, "_version", 0)
