"""Where the numbers of an attribute are kept: in the module itself, or behind a parametrization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class Unprunable(Exception):  # noqa: N818 - not an error: the reason why a layer is skipped
    """An attribute that must be left dense; the message is the reason."""


@dataclass(frozen=True)
class Stored:
    """The parameter `key` of `owner`, looked up each time: training may replace it.

    `effective` is the module whose attribute `name` is computed from it by weight_norm,
    where there is one: a zero of the stored tensor is a zero of that.
    """

    owner: nn.Module
    key: str
    effective: nn.Module | None = None
    name: str = ""

    @property
    def parameter(self) -> Any:
        """The parameter as it is now."""
        return getattr(self.owner, self.key)


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
        found = Stored(owner, name)
    tensor = found.parameter
    if not isinstance(tensor, torch.Tensor):
        raise Unprunable(f"its {attribute} is not a tensor")
    if found.effective is not None and hasattr(tensor, "device_mesh"):
        raise Unprunable(f"{attribute} is computed by weight_norm from shards")
    if tensor.is_quantized or tensor.dtype not in FLOATS:
        raise Unprunable(f"{attribute} is {_short(tensor.dtype)}; prune before quantizing")
    if tensor.is_meta:
        raise Unprunable(f"{attribute} is on the meta device and has no values yet")
    if tensor.layout is not torch.strided:
        raise Unprunable(f"{attribute} has the layout {_short(tensor.layout)}, not strided")
    return found


def _parametrized(owner: nn.Module, name: str) -> Stored:
    chain: Any = owner.parametrizations[name]  # type: ignore[index]
    first = chain[0]
    if len(chain) == 1 and isinstance(first, parametrizations._WeightNorm):
        return Stored(chain, "original1", owner, name)
    if len(chain) == 1 and isinstance(first, parametrizations._SpectralNorm):
        return Stored(chain, "original")  # the weight is this divided by one number
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
