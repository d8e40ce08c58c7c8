"""The base of all pruning methods, and the container that combines them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from secateur.errors import WeightError
from secateur_torch.compat.prune.held import HeldMask, own_parameter


class BasePruningMethod(ABC):
    """The base of all pruning methods: a subclass writes `compute_mask` and ``PRUNING_TYPE``.

    A method that was applied is a forward pre-hook of its module, as in torch.nn.utils.prune.

    Attributes:
        PRUNING_TYPE: Among what a call that follows another chooses: ``"unstructured"`` entries
            or ``"structured"`` channels that are left, or all entries, ``"global"``.
        scored: Whether it went by scores that were given.

    Example:
        >>> class EveryOther(BasePruningMethod):
        ...     PRUNING_TYPE = "unstructured"
        ...
        ...     def compute_mask(self, t, default_mask):
        ...         mask = default_mask.clone()
        ...         mask.view(-1)[::2] = 0
        ...         return mask
        >>> layer = nn.Linear(4, 1)
        >>> method = EveryOther.apply(layer, "weight")
        >>> layer.weight_mask
        tensor([[0., 1., 0., 1.]])

    """

    PRUNING_TYPE: ClassVar[str]
    scored = False
    _tensor_name: str
    _held_mask: HeldMask

    def __call__(self, module: nn.Module, inputs: object) -> None:
        """Keep what the mask prunes at zero: torch calls this before each forward pass."""
        self._held_mask.enforce(module)

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask, of 0 and 1, in the shape of `t`.

        Args:
            t: The scores: the parameter, unless others were given; in a call that follows
                another, those of them that are left.
            default_mask: The mask so far, of the same shape.

        """

    def apply_mask(self, module: nn.Module) -> Tensor:
        """Return the parameter with zeros where the mask prunes.

        Args:
            module: The module that was pruned.

        """
        name = self._tensor_name
        mask, parameter = getattr(module, f"{name}_mask"), getattr(module, name)
        return torch.where(mask != 0, parameter, 0)

    @classmethod
    def apply(
        cls,
        module: nn.Module,
        name: str,
        *args: Any,
        importance_scores: Tensor | None = None,
        **kwargs: Any,
    ) -> BasePruningMethod:
        """Prune a parameter of a module, on top of what was pruned of it before.

        Args:
            module: The module.
            name: The name of the parameter, which it keeps.
            *args: What the method's class takes.
            importance_scores: The scores to go by instead of the parameter, in its shape.
            **kwargs: What the method's class takes.

        Returns:
            The method, or the container of all methods that were applied to the parameter.
            After an error nothing is changed.

        Raises:
            AttributeError: The module has no such parameter.
            TypeError: The parameter is computed from others, as by a parametrization.
            AssertionError: The scores have another shape than the parameter.
            KeyError: The module has a buffer of its own where the mask would be.
            WeightError: A score is NaN.

        """
        parameter = own_parameter(module, name)
        method = cls(*args, **kwargs)
        method._tensor_name, method.scored = name, importance_scores is not None
        earlier = applied_method(module, name)
        combined = method if earlier is None else PruningContainer(*_methods(earlier), method)
        if earlier is None and hasattr(module, f"{name}_mask"):
            raise KeyError(
                f"{type(module).__name__} has a {name}_mask of its own, where the mask of {name} "
                "would be; give it another name"
            )
        scores = parameter if importance_scores is None else importance_scores
        if scores.shape != parameter.shape:  # the class of the error is that of the original
            raise AssertionError(
                f"importance_scores has the shape {tuple(scores.shape)}, and "
                f"{type(module).__name__}.{name} {tuple(parameter.shape)}: give one per value"
            )
        before = torch.ones_like(parameter) if earlier is None else _mask(module, name).clone()
        try:
            with torch.no_grad():
                mask = _checked(combined.compute_mask(scores, default_mask=before), parameter)
        except WeightError as error:
            raise WeightError(f"{type(module).__name__}.{name}: {error}") from None
        _install(module, name, combined, earlier, mask)
        return combined

    def prune(
        self,
        t: Tensor,
        default_mask: Tensor | None = None,
        importance_scores: Tensor | None = None,
    ) -> Tensor:
        """Return a tensor with zeros where the method prunes it; no module is involved.

        Args:
            t: The tensor.
            default_mask: The mask so far; None for none.
            importance_scores: The scores to go by instead of the tensor, in its shape.

        Raises:
            AssertionError: The scores have another shape than the tensor.

        """
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise AssertionError(
                f"importance_scores has the shape {tuple(scores.shape)}, and the tensor "
                f"{tuple(t.shape)}: give one per value"
            )
        before = torch.ones_like(t) if default_mask is None else default_mask
        return torch.where(self.compute_mask(scores, default_mask=before) != 0, t, 0)

    def remove(self, module: nn.Module) -> None:
        """Let go of a module; what was pruned is zero, and stays so until it is trained.

        Args:
            module: The module that was pruned.

        """
        self._held_mask.release()


class PruningContainer(BasePruningMethod):
    """The methods that were applied to one parameter, in order.

    Args:
        *args: The methods.

    Example:
        >>> from secateur_torch.compat import prune
        >>> layer = prune.l1_unstructured(nn.Linear(8, 1), "weight", amount=0.5)
        >>> container = prune.L1Unstructured.apply(layer, "weight", amount=0.5)
        >>> len(container), int(layer.weight_mask.sum())
        (2, 2)

    """

    def __init__(self, *args: BasePruningMethod) -> None:
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = args[0]._tensor_name
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Append a method.

        Args:
            method: A method for the parameter of the same name.

        Raises:
            TypeError: It is no pruning method.
            ValueError: It is for a parameter of another name.

        """
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method).__name__} does not derive from BasePruningMethod")
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                f"this container prunes {self._tensor_name!r}, and the method "
                f"{method._tensor_name!r}: make a container for each"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, idx: int) -> BasePruningMethod:
        return self._pruning_methods[idx]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask of the last method, applied to what `default_mask` has left.

        Args:
            t: The scores.
            default_mask: The mask so far, of the same shape.

        Raises:
            AttributeError: A structured method has no ``dim``.
            IndexError: Its ``dim`` is out of range.
            ValueError: Its ``PRUNING_TYPE`` is unknown.

        """
        method = self._pruning_methods[-1]
        left = _left(method, t, default_mask)
        mask = default_mask.to(t.dtype, copy=True)
        mask[left] = method.compute_mask(t[left], default_mask=default_mask[left]).to(t.dtype)
        return mask


def _left(method: Any, t: Tensor, mask: Tensor) -> Any:
    """Return the index of what a method may still choose from."""
    kind = method.PRUNING_TYPE
    if kind == "unstructured":
        return mask == 1
    if kind == "global":
        return ...
    if kind != "structured":
        known = "'unstructured', 'structured' or 'global'"
        raise ValueError(f"PRUNING_TYPE is {kind!r}: wanted {known}")
    if not hasattr(method, "dim"):
        raise AttributeError(
            f"{type(method).__name__} has no dim, which a method of PRUNING_TYPE 'structured' "
            "needs to tell its channels"
        )
    if not -t.ndim <= method.dim < t.ndim:
        raise IndexError(f"dim={method.dim} is out of range for the shape {tuple(t.shape)}")
    dim = method.dim % t.ndim
    others = [other for other in range(t.ndim) if other != dim]
    alive = (mask != 0).sum(dim=others) != 0
    return (*[slice(None)] * dim, alive)


def applied_method(module: nn.Module, name: str) -> Any:
    """Return the method, or container, that was applied to a parameter; None without one.

    Args:
        module: The module.
        name: The name of the parameter.

    """
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            return hook
    return None


def take_hook(module: nn.Module, method: BasePruningMethod) -> None:
    """Take a method off the forward pre-hooks of a module.

    Args:
        module: The module.
        method: The method.

    """
    for key, hook in list(module._forward_pre_hooks.items()):
        if hook is method:
            del module._forward_pre_hooks[key]


def _methods(applied: BasePruningMethod) -> tuple[BasePruningMethod, ...]:
    return tuple(applied) if isinstance(applied, PruningContainer) else (applied,)


def _mask(module: nn.Module, name: str) -> Tensor:
    mask: Tensor = getattr(module, f"{name}_mask")
    return mask.detach()


def _checked(mask: Tensor, parameter: Tensor) -> Tensor:
    """Return a mask in the parameter's shape, dtype and place.

    Raises:
        ValueError: It holds something else than 0 and 1, or does not fit the parameter.

    """
    if not isinstance(mask, Tensor) or mask.ndim > parameter.ndim:
        kind = tuple(mask.shape) if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(
            f"compute_mask() returned {kind}: wanted a tensor {tuple(parameter.shape)}"
        )
    if not ((mask == 0) | (mask == 1)).all():
        raise ValueError("a mask holds a value that is neither 0 nor 1; masks do not scale weights")
    with torch.inference_mode(False):  # a mask of inference mode could not be loaded later
        placed = mask.to(parameter).expand_as(parameter)
        return placed.clone(memory_format=torch.contiguous_format)


def _install(
    module: nn.Module,
    name: str,
    method: BasePruningMethod,
    earlier: BasePruningMethod | None,
    mask: Tensor,
) -> None:
    if earlier is None:
        method._held_mask = HeldMask(module, name)
        method._held_mask.install(module, mask)
    else:
        take_hook(module, earlier)
        method._held_mask = earlier._held_mask
        module.register_buffer(f"{name}_mask", mask)
        method._held_mask.enforce(module)
    module.register_forward_pre_hook(method)
