"""Where the numbers of an attribute are kept: in the module itself, or behind a parametrization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensor
from torch.nn.utils import parametrizations, parametrize
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from secateur.errors import ModelError

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Unprunable(Exception):  # noqa: N818 - not an error: the reason why a layer is skipped
    """An attribute that must be left dense; the message is the reason."""


@dataclass(frozen=True)
class Stored:
    """The parameter `key` of `owner`, looked up each time: training may replace it."""

    owner: nn.Module
    key: str

    is_computed = False
    """Whether the layer computes its weight from the parameter."""

    @property
    def parameter(self) -> Any:
        """The parameter as it is now.  Raises ModelError when there is none any more."""
        self._check()
        found = _own(self.owner, self.key)
        if found is None:
            raise self._gone()
        return found

    def effective(self) -> Tensor:
        """Return the weight as the layer uses it: a zero of the parameter is a zero of it."""
        found: Tensor = self.parameter
        return found

    def check_mask(self, mask: Tensor) -> None:
        """Raise ModelError when the layer could not work under a mask."""

    def settle(self, mask: Tensor) -> None:
        """Mend what the layer computes, after the parameter was masked."""

    def _check(self) -> None:
        """Raise ModelError when the layer does not use the parameter any more."""

    def _gone(self) -> ModelError:
        return ModelError(
            f"{type(self.owner).__name__}.{self.key} was a parameter when the pruner was "
            "attached, and is not now: the layer was parametrized, replaced or made plain since. "
            "Call pruner.detach(), and attach again."
        )


@dataclass(frozen=True)
class _Parametrized(Stored):
    """A parameter of the chain of parametrizations that computes the attribute `name`."""

    module: nn.Module
    name: str

    is_computed = True

    def _check(self) -> None:
        chains: Any = self.module._modules.get("parametrizations") or {}
        if self.name not in chains or chains[self.name] is not self.owner:
            raise self._gone()


@dataclass(frozen=True)
class WeightNormed(_Parametrized):
    """The direction ``v`` of a weight ``g * v / norm(v)``."""

    def effective(self) -> Tensor:
        self._check()
        with torch.no_grad():
            weight: Tensor = getattr(self.module, self.name)
        return weight

    def settle(self, mask: Tensor) -> None:
        """Keep the weight of a slice that is pruned whole at zero, not at 0 / 0: by its ``g``."""
        chain: Any = self.owner
        dim = chain[0].dim
        others = [axis for axis in range(mask.ndim) if axis != dim]
        alive = mask.any() if dim == -1 else mask.any(others, keepdim=True)
        if not alive.all():
            chain.original1.detach().masked_fill_(~alive, 1)
            chain.original0.detach().masked_fill_(~alive, 0)


@dataclass(frozen=True)
class SpectralNormed(_Parametrized):
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


def find(module: nn.Module, attribute: str) -> Stored:
    """Find the stored tensor of an attribute, given by a dotted path.

    Raises Unprunable when the attribute is no float tensor, or when zeros set in the
    stored tensor would not be zeros of the weight.
    """
    path, _, name = attribute.rpartition(".")
    owner = module.get_submodule(path)
    found = _parametrized(owner, name) if parametrize.is_parametrized(owner, name) else None
    if found is None:
        _refuse_hooks(owner, name)
        if _own(owner, name) is None:
            what = "is not a parameter" if hasattr(owner, name) else "does not exist"
            raise Unprunable(f"its {attribute} {what}")
        found = Stored(owner, name)
    tensor = found.parameter
    if found.is_computed and hasattr(tensor, "device_mesh"):
        norm = "weight_norm" if isinstance(found, WeightNormed) else "spectral_norm"
        raise Unprunable(f"{attribute} is computed by {norm} from shards")
    if reason := _refusal(tensor):
        raise Unprunable(f"{attribute} {reason}")
    return found


def _refusal(tensor: Any) -> str | None:
    """Return why a tensor holds no numbers that could be pruned, or None."""
    if tensor.is_meta or isinstance(tensor, FakeTensor):
        return "is on the meta device and has no values yet"
    is_wrapped = is_traceable_wrapper_subclass(tensor) and not hasattr(tensor, "device_mesh")
    if tensor.is_quantized or is_wrapped or tensor.dtype not in FLOATS:
        kind = type(tensor).__name__ if is_wrapped else _short(tensor.dtype)
        return f"is {kind}; prune before quantizing"
    if tensor.layout is not torch.strided:
        return f"has the layout {_short(tensor.layout)}, not strided"
    return None


def _own(module: nn.Module, key: str) -> Tensor | None:
    """Return a parameter or a buffer of a module; None for any other attribute."""
    for kept in (module._parameters, module._buffers):
        if key in kept:
            return kept[key]
    return None


def _parametrized(owner: nn.Module, name: str) -> Stored:
    chain: Any = owner.parametrizations[name]  # type: ignore[index]
    first = chain[0]
    if len(chain) == 1 and isinstance(first, parametrizations._WeightNorm):
        return WeightNormed(chain, "original1", owner, name)
    if len(chain) == 1 and isinstance(first, parametrizations._SpectralNorm):
        return SpectralNormed(chain, "original", owner, name)
    names = ", ".join(type(link).__name__.lstrip("_") for link in chain)
    raise Unprunable(f"{name} is parametrized by {names}, which need not keep zeros zero")


def _refuse_hooks(owner: nn.Module, name: str) -> None:
    own = owner._parameters
    if f"{name}_mask" in owner._buffers:
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
