"""Weights of many experts in one tensor of rank 3, by the habits of large libraries.

=========================================  =======================================================
``experts.gate_up_proj``, ``.down_proj``   transformers: Mixtral, Qwen, DeepSeek ... as
                                           ``(expert, out, in)``; GPT-OSS, Llama 4 as
                                           ``(expert, in, out)``: the two shapes tell which
``experts.gate_proj``, ``.up_proj`` ...    one by one, ``(expert, out, in)``, unless a bias is as
                                           long as the last axis
``experts.w1``, ``.w2``, ``.w3``           torchtitan, ``(expert, out, in)``
``moe.input_linear.weight`` ...            Granite, JetMoE, ``(expert, out, in)``
=========================================  =======================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from secateur.adapter import Tensor
from secateur.checkpoints.inferred.habits import split_name, unwrapped
from secateur.checkpoints.parts import Part
from secateur.layout import FLOATS, IDENTITY, Layout, Transpose

_IN_OUT = Layout((Transpose((0, 2, 1)),))
_FUSED = ("gate_up_proj", "down_proj")
_SEPARATE = ("gate_proj", "up_proj", "down_proj")
_NUMBERED = ("w1", "w2", "w3")
_ROUTERS = ("gate", "router")
_BANK = re.compile(r"(.*\.)?\w*(experts|moe|mlp)\w*\.(input_linear|output_linear)")
_HOLDER = re.compile(r"(.*\.)?\w*experts\w*")


def expert_parts(tensors: Mapping[str, Tensor]) -> dict[str, list[Part]]:
    """Return the expert weights of a checkpoint, by the name of their tensor.

    Args:
        tensors: All tensors of a checkpoint, by name.

    """
    layers: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if tensor.dtype in FLOATS and len(tensor.shape) == 3:
            layer, last = split_name(unwrapped(name))
            layers.setdefault(layer, {})[last] = tensor
    found = [part for layer, held in layers.items() for part in _parts(layer, held, tensors)]
    return {part.tensor: [part] for part in found}


def routers(experts: Mapping[str, list[Part]]) -> set[str]:
    """Return the names of the weights that route to experts: the live model keeps them dense.

    Args:
        experts: What `expert_parts` returned.

    """
    holders = {split_name(unwrapped(name))[0] for name in experts}
    above = {split_name(holder)[0] for holder in holders}
    return {f"{layer}.{router}.weight".lstrip(".") for layer in above for router in _ROUTERS}


def _parts(layer: str, held: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> Iterator[Part]:
    if "weight" in held and _BANK.fullmatch(layer):
        yield _part(f"{layer}:kernel", held["weight"], layer, IDENTITY)
        return
    if not _HOLDER.fullmatch(layer):
        return
    names: tuple[str, ...] = ()
    layout: Layout | None
    if set(_FUSED) <= held.keys():
        layout = _fused_layout(held["gate_up_proj"].shape, held["down_proj"].shape)
        names = _FUSED if layout is not None else ()
    elif {"up_proj", "down_proj"} <= held.keys():
        layout, names = _separate_layout(held["up_proj"], tensors), _SEPARATE
    else:
        layout, names = IDENTITY, _NUMBERED
    for name in names:
        if name in held and layout is not None:
            yield _part(f"{layer}.{name}:kernel", held[name], f"{layer}.{name}", layout)


def _part(weight: str, tensor: Tensor, layer: str, layout: Layout) -> Part:
    stored = "(expert, in, out)" if layout.steps else "(expert, out, in)"
    reason = f"expert, stored as {stored}, by the names and shapes of its layer"
    return Part(weight, tensor.name, "expert", layer, layout, reason=reason)


def _fused_layout(up: tuple[int, ...], down: tuple[int, ...]) -> Layout | None:
    """Return how gate and up projections, one below the other, and down are stored."""
    for layout, (outputs, inputs), (back, inner) in (
        (IDENTITY, up[1:], down[1:]),
        (_IN_OUT, up[:0:-1], down[:0:-1]),
    ):
        if outputs == 2 * inner and inputs == back:
            return layout
    return None


def _separate_layout(up: Tensor, tensors: Mapping[str, Tensor]) -> Layout:
    """Return how an up projection is stored; its bias, if any, is as long as its outputs."""
    bias = tensors.get(f"{up.name}_bias")
    is_turned = bias is not None and bias.shape[-1:] == up.shape[2:] != up.shape[1:2]
    return _IN_OUT if is_turned else IDENTITY
