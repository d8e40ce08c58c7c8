"""The pruning methods that torch.nn.utils.prune has."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from secateur_torch.compat.prune.amounts import check_amount, highest, prune_count
from secateur_torch.compat.prune.method import BasePruningMethod


class Identity(BasePruningMethod):
    """Prunes nothing: a mask of ones, to be loaded or edited.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> method = Identity.apply(layer, "weight")
        >>> layer.weight_mask
        tensor([[1., 1.]])

    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask so far.

        Args:
            t: The scores, which do not matter.
            default_mask: The mask so far.

        """
        return default_mask


class _Unstructured(BasePruningMethod):
    """Prunes an amount of the entries.

    Args:
        amount: A fraction of the entries that are left as a float, or a count as an integer.

    """

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: float) -> None:
        check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask so far without the entries of lowest score.

        Args:
            t: What the scores are made of.
            default_mask: The mask so far, of the same shape.

        Raises:
            ValueError: The amount is more than there are entries.
            WeightError: A score is NaN.

        """
        count = prune_count(self.amount, t.numel())
        if count == 0:
            return default_mask.clone()
        kept = highest(self._scores(t), t.numel() - count)
        return torch.where(kept, default_mask, 0)

    def _scores(self, t: Tensor) -> Tensor:
        raise NotImplementedError


class RandomUnstructured(_Unstructured):
    """Prunes entries by chance, the same ones as the original after the same manual_seed.

    Args:
        amount: A fraction of the entries that are left as a float, or a count as an integer.

    Example:
        >>> layer = nn.Linear(10, 1)
        >>> method = RandomUnstructured.apply(layer, "weight", amount=0.3)
        >>> int(layer.weight_mask.sum())
        7

    """

    def _scores(self, t: Tensor) -> Tensor:
        return 1 - torch.rand_like(t).double()  # exact, and the highest draws go


class L1Unstructured(_Unstructured):
    """Prunes the entries of smallest magnitude; of equal ones the first stay.

    Args:
        amount: A fraction of the entries that are left as a float, or a count as an integer.

    Example:
        >>> L1Unstructured(amount=1).prune(torch.tensor([-3.0, 1.0, 2.0]))
        tensor([-3.,  0.,  2.])

    """

    @classmethod
    def apply(  # type: ignore[override]
        cls,
        module: nn.Module,
        name: str,
        amount: float,
        importance_scores: Tensor | None = None,
    ) -> BasePruningMethod:
        """Prune a parameter of a module; see `BasePruningMethod.apply`.

        Args:
            module: The module.
            name: The name of the parameter.
            amount: As the class takes it.
            importance_scores: The scores to go by instead of the parameter, in its shape.

        Returns:
            The method, or the container of all methods that were applied to the parameter.

        """
        return super().apply(module, name, amount, importance_scores=importance_scores)

    def _scores(self, t: Tensor) -> Tensor:
        return t.detach().abs()


class _Structured(BasePruningMethod):
    """Prunes an amount of the channels along a dimension.

    Args:
        amount: A fraction of the channels that are left as a float, or a count as an integer.
        dim: The dimension that counts the channels.

    """

    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        check_amount(amount)
        self.amount = amount
        self.dim = dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask so far without the channels of lowest score.

        Args:
            t: What the scores are made of.
            default_mask: The mask so far, of the same shape.

        Raises:
            ValueError: `t` has one dimension only, or the amount is more than there are channels.
            IndexError: `dim` is out of range.
            WeightError: A score is NaN.

        """
        shape = tuple(t.shape)
        if t.ndim < 2:
            raise ValueError(f"the shape {shape} has no channels: it needs two dimensions or more")
        if not -t.ndim <= self.dim < t.ndim:
            raise IndexError(f"dim={self.dim} is out of range for the shape {shape}")
        dim = self.dim % t.ndim
        count = prune_count(self.amount, shape[dim])
        if count == 0:
            return default_mask
        kept = highest(self._scores(t, dim), shape[dim] - count).to(t.device)
        return torch.where(kept.view([-1] + [1] * (t.ndim - dim - 1)), default_mask, 0)

    def _scores(self, t: Tensor, dim: int) -> Tensor:
        raise NotImplementedError


class RandomStructured(_Structured):
    """Prunes channels by chance, the same ones as the original after the same manual_seed.

    Args:
        amount: A fraction of the channels that are left as a float, or a count as an integer.
        dim: The dimension that counts the channels.

    Example:
        >>> layer = nn.Linear(4, 10)
        >>> method = RandomStructured.apply(layer, "weight", amount=3, dim=0)
        >>> int(layer.weight_mask[:, 0].sum())
        7

    """

    def _scores(self, t: Tensor, dim: int) -> Tensor:
        return torch.rand(t.shape[dim])


class LnStructured(_Structured):
    """Prunes the channels of lowest Ln norm, summed in float64; of equal ones the first stay.

    Args:
        amount: A fraction of the channels that are left as a float, or a count as an integer.
        n: The norm, as ``p`` of `torch.norm` has it.
        dim: The dimension that counts the channels.

    Example:
        >>> LnStructured(1, n=2, dim=0).prune(torch.tensor([[3.0, 4.0], [1.0, 1.0]]))
        tensor([[3., 4.],
                [0., 0.]])

    """

    def __init__(self, amount: float, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    @classmethod
    def apply(  # type: ignore[override]
        cls,
        module: nn.Module,
        name: str,
        amount: float,
        n: Any,
        dim: int,
        importance_scores: Tensor | None = None,
    ) -> BasePruningMethod:
        """Prune a parameter of a module; see `BasePruningMethod.apply`.

        Args:
            module: The module.
            name: The name of the parameter.
            amount: As the class takes it.
            n: As the class takes it.
            dim: As the class takes it.
            importance_scores: The scores to go by instead of the parameter, in its shape.

        Returns:
            The method, or the container of all methods that were applied to the parameter.

        """
        return super().apply(module, name, amount, n, dim, importance_scores=importance_scores)

    def _scores(self, t: Tensor, dim: int) -> Tensor:
        others = [other for other in range(t.ndim) if other != dim]
        norms: Tensor = torch.norm(t.detach().double(), p=self.n, dim=others)
        return norms


class CustomFromMask(BasePruningMethod):
    """Prunes by a mask that is given.

    Args:
        mask: Of 0 and 1, in the shape of the parameter.
        call: The call of `global_unstructured` that made it, if one did.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> method = CustomFromMask.apply(layer, "weight", torch.tensor([[0, 1]]))
        >>> layer.weight_mask
        tensor([[0., 1.]])

    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor, call: object | None = None) -> None:
        self.mask = mask
        self.call = call

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return what both the mask so far and the one that was given keep.

        Args:
            t: The scores, which do not matter.
            default_mask: The mask so far.

        Raises:
            AssertionError: The mask has another shape than the parameter.

        """
        if self.mask.shape != default_mask.shape:
            raise AssertionError(
                f"the mask has the shape {tuple(self.mask.shape)}, and the parameter "
                f"{tuple(default_mask.shape)}"
            )
        return default_mask * self.mask.to(default_mask)
