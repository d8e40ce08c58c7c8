"""Where the values of an attribute are stored: in the module, or behind a parametrization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from secateur.adapter import ATTACH_AGAIN, FLOATS, QUANTIZED, Unprunable
from secateur.errors import ModelError


@dataclass(frozen=True)
class ParameterSlot:
    """The parameter `key` of `owner`, looked up each time: training may replace it.

    Attributes:
        owner: The module that holds the parameter.
        key: Its name there.
        is_computed: Whether the layer computes its weight from the parameter.

    """

    owner: nn.Module
    key: str

    is_computed = False

    @property
    def parameter(self) -> Any:
        """The present parameter.

        Raises:
            ModelError: There is none any more.

        """
        self._check()
        found = own_tensor(self.owner, self.key)
        if found is None:
            raise self._gone()
        return found

    def effective(self) -> Tensor:
        """Return the weight as the layer uses it: a zero of the parameter is a zero of it."""
        found: Tensor = self.parameter
        return found

    def check_mask(self, mask: Tensor) -> None:
        """Raise ModelError when the layer could not work under a mask."""

    def restore(self, mask: Tensor) -> None:
        """Keep what the layer computes finite, after the parameter was masked."""

    def _check(self) -> None:
        """Raise ModelError when the layer does not use the parameter any more."""

    def _gone(self) -> ModelError:
        return ModelError(
            f"{type(self.owner).__name__}.{self.key} was a parameter when the pruner was "
            "attached, and is not now: the layer was parametrized, replaced or made plain since"
            f"{ATTACH_AGAIN}"
        )


@dataclass(frozen=True)
class ParametrizedSlot(ParameterSlot):
    """A parameter of the chain of parametrizations that computes an attribute.

    Attributes:
        module: The layer.
        name: The attribute of the layer.

    """

    module: nn.Module
    name: str

    is_computed = True

    def _check(self) -> None:
        chains: Any = self.module._modules.get("parametrizations") or {}
        if self.name not in chains or chains[self.name] is not self.owner:
            raise self._gone()


@dataclass(frozen=True)
class WeightNormSlot(ParametrizedSlot):
    """The direction ``v`` of a weight ``g * v / norm(v)``."""

    def effective(self) -> Tensor:
        self._check()
        with torch.no_grad():
            weight: Tensor = getattr(self.module, self.name)
        return weight

    def restore(self, mask: Tensor) -> None:
        """Keep the weight of a slice that is pruned whole at zero, not at 0 / 0: by its ``g``."""
        chain: Any = self.owner
        dim = chain[0].dim
        others = [axis for axis in range(mask.ndim) if axis != dim]
        alive = mask.any() if dim == -1 else mask.any(others, keepdim=True)
        if not alive.all():
            chain.original1.detach().masked_fill_(~alive, 1)
            chain.original0.detach().masked_fill_(~alive, 0)


@dataclass(frozen=True)
class SpectralNormSlot(ParametrizedSlot):
    """A weight that is divided by its largest singular value, as it was last estimated."""

    def effective(self) -> Tensor:
        norm: Any = self.owner[0]  # type: ignore[index]
        stored: Tensor = self.parameter.detach()
        if stored.ndim < 2:
            return torch.nn.functional.normalize(stored, dim=0, eps=norm.eps)
        matrix = norm._reshape_weight_to_matrix(stored)
        return stored / torch.vdot(norm._u, torch.mv(matrix, norm._v))

    def check_mask(self, mask: Tensor) -> None:
        if not mask.any():
            raise ModelError(
                f"{type(self.module).__name__}.{self.name} is divided by its spectral norm, "
                "which is zero when all of it is pruned; nothing was changed. Keep some of it."
            )


def find_slot(module: nn.Module, attribute: str) -> ParameterSlot:
    """Return where the values of an attribute are stored.

    Args:
        module: The layer.
        attribute: A dotted path to a parameter or a buffer of it.

    Raises:
        Unprunable: The attribute is no float tensor, or zeros that are set in the stored tensor
            would not be zeros of the weight.

    """
    path, _, name = attribute.rpartition(".")
    owner = module.get_submodule(path)
    found = _parametrized(owner, name) if parametrize.is_parametrized(owner, name) else None
    if found is None:
        _refuse_hooks(owner, name)
        if own_tensor(owner, name) is None:
            what = "is not a parameter" if hasattr(owner, name) else "does not exist"
            raise Unprunable(f"its {attribute} {what}")
        found = ParameterSlot(owner, name)
    tensor = found.parameter
    if found.is_computed and hasattr(tensor, "device_mesh"):
        norm = "weight_norm" if isinstance(found, WeightNormSlot) else "spectral_norm"
        raise Unprunable(f"{attribute} is computed by {norm} from shards")
    if reason := unprunable_reason(tensor):
        raise Unprunable(f"{attribute} {reason}")
    return found


def unprunable_reason(tensor: Any) -> str | None:
    """Return why a tensor holds no values that could be pruned, or None.

    Args:
        tensor: A parameter.

    Example:
        >>> unprunable_reason(torch.empty(2, device="meta"))
        'is on the meta device and has no values yet'

    """
    if tensor.is_meta or type(tensor).__name__ == "FakeTensor":
        return "is on the meta device and has no values yet"
    is_wrapped = hasattr(tensor, "__tensor_flatten__") and not hasattr(tensor, "device_mesh")
    if tensor.is_quantized or is_wrapped or _short(tensor.dtype) not in FLOATS:
        kind = type(tensor).__name__ if is_wrapped else _short(tensor.dtype)
        return f"is {kind}; {QUANTIZED}"
    if tensor.layout is not torch.strided:
        return f"has the layout {_short(tensor.layout)}, not strided"
    return None


def own_tensor(module: nn.Module, key: str) -> Tensor | None:
    """Return a parameter or a buffer of a module; None for any other attribute.

    Args:
        module: The module that holds it itself.
        key: Its name there.

    """
    for kept in (module._parameters, module._buffers):
        if key in kept:
            return kept[key]
    return None


_KNOWN_NORMS: dict[str, tuple[type[ParametrizedSlot], str]] = {
    "_WeightNorm": (WeightNormSlot, "original1"),
    "_SpectralNorm": (SpectralNormSlot, "original"),
}
"""The parametrizations of torch that keep zeros zero, by class name: the classes are private."""


def _parametrized(owner: nn.Module, name: str) -> ParameterSlot:
    chain: Any = owner.parametrizations[name]  # type: ignore[index]
    links = [type(link) for link in chain]
    if len(links) == 1 and links[0].__module__ == "torch.nn.utils.parametrizations":
        slot, key = _KNOWN_NORMS.get(links[0].__name__, (None, ""))
        if slot is not None:
            return slot(chain, key, owner, name)
    names = ", ".join(link.__name__.lstrip("_") for link in links)
    raise Unprunable(f"{name} is parametrized by {names}, which need not keep zeros zero")


def _refuse_hooks(owner: nn.Module, name: str) -> None:
    own = owner._parameters
    if f"{name}_mask" in owner._buffers and name not in own:
        raise Unprunable(
            f"{name} is masked by torch.nn.utils.prune; make it plain with prune.remove first"
        )
    if f"{name}_v" in own or f"{name}_orig" in own:
        raise Unprunable(
            f"{name} is computed by a hook of the older torch.nn.utils.weight_norm or "
            "spectral_norm; use those of torch.nn.utils.parametrizations"
        )


def _short(thing: object) -> str:
    return str(thing).removeprefix("torch.")
