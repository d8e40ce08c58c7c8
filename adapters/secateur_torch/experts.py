"""The table of layers that hold the weights of many experts in one parameter.

========================================  ============================  =======================
class                                     parameters                    stored as
========================================  ============================  =======================
``...Experts`` of transformers (Mixtral,  ``gate_up_proj``,             ``(expert, out, in)``;
Qwen, DeepSeek, GPT-OSS, Llama 4 ...),    ``down_proj``; or             GPT-OSS, Llama 4, Aria:
and classes of that name and shape        ``gate_proj``, ``up_proj``    ``(expert, in, out)``
``...ParallelExperts`` of transformers    ``weight``                    ``(expert, out, in)``
``AriaGroupedExpertsGemm``                ``weight``                    ``(expert, in, out)``
``DbrxExpertGLU``                         ``w1``, ``v1``, ``w2``        rows of all experts
``GroupedExperts`` of torchtitan          ``w1``, ``w2``, ``w3``        ``(expert, out, in)``
``CondConv2d`` of timm                    ``weight``                    flat, one row an expert
========================================  ============================  =======================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from torch import nn

from secateur.layout import IDENTITY, Layout, Reshape, Transpose
from secateur_torch.layers import TorchLayerWeight

_IN_OUT = Layout((Transpose((0, 2, 1)),))
"""The layout of ``(expert, in, out)``."""
_TRANSPOSED = ("GptOss", "Llama4", "OpenAIPrivacyFilter", "Aria")
"""How classes of transformers begin that store ``(expert, in, out)``, where shapes do not tell."""

Entries = list[TorchLayerWeight] | None


def expert_entries(module: nn.Module, cls: type[nn.Module]) -> Entries:
    """Return the expert weights of a layer of a class, or None for a class not known.

    Args:
        module: The layer.
        cls: Its `plain_class`.

    Example:
        >>> class MixtralExperts(nn.Module):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.gate_up_proj = nn.Parameter(torch.zeros(4, 2 * 6, 8))
        ...         self.down_proj = nn.Parameter(torch.zeros(4, 8, 6))
        >>> import torch
        >>> [entry.part for entry in expert_entries(MixtralExperts(), MixtralExperts)]
        ['gate_up_proj', 'down_proj']

    """
    for base in cls.__mro__:
        package, name = base.__module__.partition(".")[0], base.__name__
        for known_package, ending, entries in _TABLE:
            is_there = known_package in ("", package) and name.endswith(ending)
            if is_there and (found := entries(module, name)):
                return found
    return None


def _entry(attribute: str, layout: Layout, part: str | None = None) -> TorchLayerWeight:
    part = attribute if part is None else part
    return TorchLayerWeight(attribute, "expert", layout=layout, part=part)


def _shapes(module: nn.Module, names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    found = ((name, module._parameters.get(name)) for name in names)
    return {name: tuple(p.shape) for name, p in found if p is not None and p.ndim == 3}


def _gated(module: nn.Module, name: str) -> Entries:
    """Find ``gate_up_proj`` and ``down_proj``, whose shapes tell how they are stored."""
    shapes = _shapes(module, ("gate_up_proj", "down_proj"))
    if len(shapes) < 2:
        return None
    _, *up = shapes["gate_up_proj"]
    _, *down = shapes["down_proj"]
    for layout, (outputs, inputs), (back, inner) in (
        (IDENTITY, up, down),
        (_IN_OUT, up[::-1], down[::-1]),
    ):
        if outputs == 2 * inner and inputs == back:
            return [_entry("gate_up_proj", layout), _entry("down_proj", layout)]
    return None


def _separate(module: Any, name: str) -> Entries:
    """Find ``up_proj`` and ``down_proj``, with or without ``gate_proj``."""
    shapes = _shapes(module, ("gate_proj", "up_proj", "down_proj"))
    if not {"up_proj", "down_proj"} <= shapes.keys():
        return None
    _, rows, columns = shapes["down_proj"]
    hidden = getattr(module, "hidden_dim", getattr(module, "hidden_size", None))
    transposed = getattr(module, "is_transposed", name.startswith(_TRANSPOSED))
    if rows != columns and hidden in (rows, columns):
        transposed = hidden == columns
    return [_entry(each, _IN_OUT if transposed else IDENTITY) for each in shapes]


def _whole(*names: str, layout: Layout = IDENTITY) -> Callable[[nn.Module, str], Entries]:
    """Find parameters that are expert weights one by one."""

    def entries(module: nn.Module, name: str) -> Entries:
        shapes = _shapes(module, names)
        return [_entry(each, layout, "" if len(names) == 1 else None) for each in shapes]

    return entries


def _dbrx(module: Any, name: str) -> Entries:
    experts, inner, hidden = module.moe_num_experts, module.ffn_hidden_size, module.hidden_size
    split = Reshape((experts * inner, hidden), (experts, inner, hidden))
    out_in, in_out = Layout((split,)), Layout((split, *_IN_OUT.steps))
    return [_entry("w1", out_in), _entry("v1", out_in), _entry("w2", in_out)]


def _cond_conv(module: Any, name: str) -> Entries:
    experts, outputs = module.num_experts, module.out_channels
    rest = prod((module.in_channels // module.groups, *module.kernel_size))
    split = Reshape((experts, outputs * rest), (experts, outputs, rest))
    return [_entry("weight", Layout((split,)), "")]


_TABLE: tuple[tuple[str, str, Callable[[Any, str], Entries]], ...] = (
    ("", "Experts", _gated),
    ("transformers", "Experts", _separate),
    ("transformers", "ParallelExperts", _whole("weight")),
    ("transformers", "AriaGroupedExpertsGemm", _whole("weight", layout=_IN_OUT)),
    ("transformers", "DbrxExpertGLU", _dbrx),
    ("torchtitan", "GroupedExperts", _whole("w1", "w2", "w3")),
    ("timm", "CondConv2d", _cond_conv),
)
"""The package (none for any), how the class's name ends, and what finds its weights."""
