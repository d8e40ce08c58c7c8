"""The functions that torch.nn.utils.prune has, each of which prunes one parameter in place."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import Tensor, nn

from secateur_torch.compat.prune.method import BasePruningMethod, applied_method, take_hook
from secateur_torch.compat.prune.methods import (
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)

M = TypeVar("M", bound=nn.Module)


def identity(module: M, name: str) -> M:
    """Put a mask of ones on a parameter, which prunes nothing.

    Args:
        module: The module.
        name: The name of the parameter.

    Returns:
        The module.

    Example:
        >>> identity(nn.Linear(2, 1), "bias").bias_mask
        tensor([1.])

    """
    Identity.apply(module, name)
    return module


def random_unstructured(module: M, name: str, amount: float) -> M:
    """Prune entries of a parameter by chance.

    Args:
        module: The module.
        name: The name of the parameter.
        amount: A fraction of the entries that are left as a float, or a count as an integer.

    Returns:
        The module.

    Example:
        >>> int(random_unstructured(nn.Linear(10, 1), "weight", amount=3).weight_mask.sum())
        7

    """
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(
    module: M, name: str, amount: float, importance_scores: Tensor | None = None
) -> M:
    """Prune the entries of a parameter that are smallest in magnitude.

    Args:
        module: The module.
        name: The name of the parameter.
        amount: A fraction of the entries that are left as a float, or a count as an integer.
        importance_scores: Scores to go by instead of the parameter, in its shape; their
            magnitudes count.

    Returns:
        The module.

    Example:
        >>> int(l1_unstructured(nn.Linear(10, 1), "weight", amount=0.2).weight_mask.sum())
        8

    """
    L1Unstructured.apply(module, name, amount=amount, importance_scores=importance_scores)
    return module


def random_structured(module: M, name: str, amount: float, dim: int) -> M:
    """Prune channels of a parameter by chance.

    Args:
        module: The module.
        name: The name of the parameter.
        amount: A fraction of the channels that are left as a float, or a count as an integer.
        dim: The dimension that counts the channels.

    Returns:
        The module.

    Example:
        >>> layer = random_structured(nn.Linear(5, 3), "weight", amount=3, dim=1)
        >>> int(layer.weight_mask[0].sum())
        2

    """
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: M,
    name: str,
    amount: float,
    n: Any,
    dim: int,
    importance_scores: Tensor | None = None,
) -> M:
    """Prune the channels of a parameter whose Ln norms are lowest.

    Args:
        module: The module.
        name: The name of the parameter.
        amount: A fraction of the channels that are left as a float, or a count as an integer.
        n: The norm, as ``p`` of `torch.norm` has it.
        dim: The dimension that counts the channels.
        importance_scores: Scores to go by instead of the parameter, in its shape.

    Returns:
        The module.

    Example:
        >>> layer = ln_structured(nn.Conv2d(5, 3, 2), "weight", amount=0.3, n=2, dim=0)
        >>> int(layer.weight_mask[:, 0, 0, 0].sum())
        2

    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: M, name: str, mask: Tensor) -> M:
    """Prune a parameter by a mask of your own.

    Args:
        module: The module.
        name: The name of the parameter.
        mask: Of 0 and 1, in the shape of the parameter.

    Returns:
        The module.

    Example:
        >>> import torch
        >>> custom_from_mask(nn.Linear(5, 3), "bias", torch.tensor([0, 1, 0])).bias_mask
        tensor([0., 1., 0.])

    """
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: M, name: str) -> M:
    """Let go of a parameter: mask and hooks go, and what was pruned is zero until it is trained.

    Args:
        module: The module.
        name: The name of the parameter.

    Returns:
        The module.

    Raises:
        ValueError: The parameter is not pruned.

    Example:
        >>> layer = remove(l1_unstructured(nn.Linear(4, 1), "weight", amount=2), "weight")
        >>> list(layer.state_dict()), int((layer.weight == 0).sum())
        (['weight', 'bias'], 2)

    """
    method = applied_method(module, name)
    if method is None:
        raise ValueError(
            f"{type(module).__name__}.{name} is not pruned, so there is nothing to remove"
        )
    method.remove(module)
    take_hook(module, method)
    return module


def is_pruned(module: nn.Module) -> bool:
    """Return whether a module, or one that it holds, is pruned.

    Args:
        module: The module.

    Example:
        >>> layer = nn.Linear(4, 1)
        >>> is_pruned(layer), is_pruned(identity(layer, "weight"))
        (False, True)

    """
    return any(
        isinstance(hook, BasePruningMethod)
        for inner in module.modules()
        for hook in inner._forward_pre_hooks.values()
    )
