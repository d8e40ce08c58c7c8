"""Pruning of several parameters at once, by one threshold over all of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from secateur_torch.compat.prune.held import own_parameter
from secateur_torch.compat.prune.method import BasePruningMethod, PruningContainer
from secateur_torch.compat.prune.methods import CustomFromMask


@dataclass(frozen=True, eq=False)
class GlobalCall:
    """What one call of `global_unstructured` was.

    Attributes:
        method: The method, as it was made.
        size: How many entries the parameters have together.
        scored: Whether scores were given.

    """

    method: BasePruningMethod
    size: int
    scored: bool


def global_unstructured(
    parameters: Iterable[tuple[nn.Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: Mapping[tuple[nn.Module, str], Tensor] | None = None,
    **kwargs: Any,
) -> None:
    """Prune several parameters at once, as if they were one.

    Args:
        parameters: Pairs of module and parameter name.
        pruning_method: An unstructured method, such as ``prune.L1Unstructured``.
        importance_scores: Scores to go by instead of some parameters, by pair.
        **kwargs: What the method takes, such as ``amount=0.2``.

    Raises:
        TypeError: `parameters` or `importance_scores` is of another type, or the method is not
            unstructured; nothing is changed then.
        ValueError: There are no parameters.
        AssertionError: Scores have another shape than their parameter.

    Example:
        >>> from secateur_torch.compat import prune
        >>> net = nn.Sequential(nn.Linear(10, 4), nn.Linear(4, 1))
        >>> pairs = [(net[0], "weight"), (net[1], "weight")]
        >>> global_unstructured(pairs, prune.L1Unstructured, amount=10)
        >>> sum(int((mask == 0).sum()) for mask in net.buffers())
        10

    """
    if not isinstance(parameters, Iterable):
        raise TypeError("parameters is not iterable: wanted pairs of a module and a name")
    pairs = list(parameters)
    given = {} if importance_scores is None else importance_scores
    if not isinstance(given, dict):
        raise TypeError("importance_scores is no dict: wanted one by pairs of module and name")
    if not pairs:
        raise ValueError("parameters is empty: there is nothing to prune")
    method: Any = pruning_method(**kwargs)
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError(
            f"pruning_method is {method.PRUNING_TYPE!r}: only 'unstructured' methods prune globally"
        )
    tensors = [own_parameter(module, name) for module, name in pairs]
    scores = [given.get(pair, tensor) for pair, tensor in zip(pairs, tensors, strict=True)]
    for (module, name), tensor, score in zip(pairs, tensors, scores, strict=True):
        if score.shape != tensor.shape:
            raise AssertionError(
                f"importance_scores has the shape {tuple(score.shape)} for "
                f"{type(module).__name__}.{name}, whose shape is {tuple(tensor.shape)}"
            )
    masks = _masks(pairs, tensors, scores, method)
    call = GlobalCall(method, sum(tensor.numel() for tensor in tensors), bool(given))
    for (module, name), mask in zip(pairs, masks, strict=True):
        CustomFromMask.apply(module, name, mask, call)


@torch.no_grad()
def _masks(
    pairs: list[tuple[nn.Module, str]],
    tensors: list[nn.Parameter],
    scores: list[Tensor],
    method: BasePruningMethod,
) -> list[Tensor]:
    """Return the new mask of each parameter, in bools."""
    before = [
        getattr(module, f"{name}_mask", torch.ones_like(tensor))
        for (module, name), tensor in zip(pairs, tensors, strict=True)
    ]
    method._tensor_name = "parameters"
    combined = PruningContainer(method)
    flat = [torch.cat([each.reshape(-1) for each in several]) for several in (scores, before)]
    kept = combined.compute_mask(flat[0], default_mask=flat[1]) != 0
    parts = torch.split(kept, [tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
