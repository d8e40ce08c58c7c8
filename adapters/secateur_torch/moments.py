"""What optimizers keep of single values, such as momentum: cleared where values come back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from secateur.errors import StateWarning, listed
from secateur.layout import Array
from secateur_torch.masking import clear_pruned

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from secateur_torch.weight import TorchWeight


_FIRST = {"sum": "initial_accumulator_value", "step_size": "lr"}
"""The option that says what a moment of Adagrad or Rprop begins with; others begin with zero."""


def clear_moments(weight: TorchWeight, revived: Array, optimizers: Sequence[Optimizer]) -> None:
    """Set to what it was at first what optimizers keep of values of a weight that come back.

    That is every float tensor of the parameter's shape: ``momentum_buffer``, ``exp_avg``,
    ``exp_avg_sq`` and their like. What is kept of whole rows, or of all parameters together,
    stays.

    Args:
        weight: The weight.
        revived: Where its values come back, canonical.
        optimizers: The optimizers.

    """
    kept = weight.native(~revived)
    parameter = weight.current()
    for moment, first in _moments(parameter, optimizers):
        part = weight.part(moment)
        mask = kept.to(part.device)
        clear_pruned(part, mask)
        if first:
            part.masked_fill_(~mask, first)


def _moments(parameter: Tensor, optimizers: Sequence[Optimizer]) -> Iterator[tuple[Tensor, float]]:
    """Yield each moment of a parameter, and what it begins with."""
    for optimizer in optimizers:
        state = optimizer.state.get(parameter)
        for name, value in state.items() if isinstance(state, Mapping) else ():
            is_moment = isinstance(value, Tensor) and value.is_floating_point()
            if is_moment and value.shape == parameter.shape:
                yield value.detach(), _first(name, parameter, optimizer)


def _first(name: object, parameter: Tensor, optimizer: Optimizer) -> float:
    option = _FIRST.get(str(name))
    if option is None:
        return 0.0
    groups = optimizer.param_groups
    group = next(each for each in groups if any(one is parameter for one in each["params"]))
    return float(group.get(option, 0.0))


def warn_of_moments(revived: Mapping[str, Array]) -> None:
    """Warn that weights come back whose optimizer is not known."""
    warnings.warn(
        f"weights of {listed(revived, 3)} come back, and secateur does not know their optimizer, "
        "so that its momentum of them is stale: pass optimizer= to secateur.attach, or clear it "
        "where pruner.revived[name] is True after each pruner.step()",
        StateWarning,
        stacklevel=5,
    )
