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


def clear_moments(weight: TorchWeight, revived: Array, optimizers: Sequence[Optimizer]) -> None:
    """Set to zero what optimizers keep of the values of a weight that come back.

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
    for moment in _moments(parameter, optimizers):
        part = weight.part(moment)
        clear_pruned(part, kept.to(part.device))


def _moments(parameter: Tensor, optimizers: Sequence[Optimizer]) -> Iterator[Tensor]:
    states = [optimizer.state.get(parameter) for optimizer in optimizers]
    values = [value for state in states if isinstance(state, Mapping) for value in state.values()]
    for value in values:
        is_moment = isinstance(value, Tensor) and value.is_floating_point()
        if is_moment and value.shape == parameter.shape:
            yield value.detach()


def warn_of_moments(revived: Mapping[str, Array]) -> None:
    """Warn that weights come back whose optimizer is not known."""
    warnings.warn(
        f"weights of {listed(revived, 3)} come back, and secateur does not know their optimizer, "
        "so that its momentum of them is stale: pass optimizer= to secateur.attach, or clear it "
        "where pruner.revived[name] is True after each pruner.step()",
        StateWarning,
        stacklevel=5,
    )
