"""What the names of tensors say by habit, where a file says nothing of its layers.

The habits are PyTorch's and those of its large libraries.  They are few on purpose: a tensor
that no habit knows is left dense, and ``--kind`` says otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_SEPARATOR = re.compile(r"[./|]")
_KERNEL = re.compile(r"weight|kernel")
_FRAMEWORK = re.compile(r"weight(_.*)?|.*_weight|kernel|original[01]?")
_OTHER = re.compile(
    r"(.*_)?(bias(es)?|tokens?|gamma(_\d+)?|beta|scales?|(inv_)?freqs?|mask|index|table|mean"
    r"|var(iance)?|log|pos|pos(ition(al)?)?_(embed(ding)?s?|emb|encodings?)|temperature)"
    r"|(layer_?scale|rel_pos|bias|lambda).*|pe|d|original[01]?|weight_(g|v|orig|mask)",
    re.IGNORECASE,
)
_NORMALIZATION = re.compile(
    r"(.*_)?((batch|layer|group|instance|rms)_?)?norm_?\d*|ln(_.*|\d+)?|bn\d*", re.IGNORECASE
)
_EMBEDDING = re.compile(
    r"(?!(class|bbox|box|patch|time|timestep|label)_)(.*_)?(embed(ding)?s?|emb)"
    r"|embed_(tokens|positions|in)|wte|wpe|relative_attention_bias|embedding_table",
    re.IGNORECASE,
)
_DEPTHWISE = re.compile(
    r"(.*_)?(dw|depth_?wise)(_.*|\d+)?|(.*_)?(dw|depth_?wise)_?conv.*|(.*_)?conv_?\d*dw.*",
    re.IGNORECASE,
)
_STATE_SPACE = re.compile(r"(.*\.)?(mixer|mamba|ssm|linear_attn|temporal_block)\.\w*conv\w*")
_FUSED = re.compile(r"(.*_)?qkv(_.*)?|query_key_value|W_?qkv|W_pack|att_proj", re.IGNORECASE)
_TURNED = ("c_attn", "c_fc", "c_proj", "q_attn")


def split_name(tensor: str) -> tuple[str, str]:
    """Return the path of a tensor's layer, empty at the root, and the last word of its name.

    >>> split_name("blocks.0.fc.weight"), split_name("cls_token")
    (('blocks.0.fc', 'weight'), ('', 'cls_token'))
    """
    last = _SEPARATOR.split(tensor)[-1]
    return tensor[: -len(last) - 1] if last else tensor[:-1], last


def unwrapped(name: str) -> str:
    """Return a name without the level that `torch.compile` puts around a module.

    >>> unwrapped("_orig_mod.encoder._orig_mod.fc.weight")
    'encoder.fc.weight'
    """
    return name.replace("_orig_mod.", "")


def names_kernels(tensors: Iterable[str]) -> bool:
    """Return whether a file has the names that frameworks give, by which kernels are known.

    >>> names_kernels(["fc.weight", "cls_token"]), names_kernels(["fc", "conv"])
    (True, False)
    """
    return any(_FRAMEWORK.fullmatch(split_name(name)[1]) for name in tensors)


def is_kernel(tensor: str, framework: bool) -> bool:
    """Return whether a tensor of rank 2 or more is named as a kernel.

    With the names of a framework, kernels are called ``weight`` or ``kernel``.  Names that a
    user chose may be any, but for those that are never a kernel's.

    >>> is_kernel("fc.weight", True), is_kernel("cls_token", True), is_kernel("cls_token", False)
    (True, False, False)
    """
    last = split_name(tensor)[1]
    return bool(_KERNEL.fullmatch(last)) if framework else not _OTHER.fullmatch(last)


def is_parametrized(tensor: str) -> bool:
    """Return whether a parametrization stores the tensor: a weight is computed from it.

    >>> is_parametrized("fc.parametrizations.weight.original1")
    True
    """
    return ".parametrizations." in f".{tensor}"


def names_normalization(layer: str) -> bool:
    """Return whether a layer is named as a normalization.

    >>> names_normalization("encoder.layer_norm"), names_normalization("encoder.normal")
    (True, False)
    """
    return bool(_NORMALIZATION.fullmatch(split_name(layer)[1]))


def names_embedding(layer: str) -> bool:
    """Return whether a layer is named as an embedding.

    >>> names_embedding("model.embed_tokens"), names_embedding("embedding_head")
    (True, False)
    """
    return layer == "shared" or bool(_EMBEDDING.fullmatch(split_name(layer)[1]))


def names_depthwise(layer: str) -> bool:
    """Return whether a layer is named as a depthwise convolution.

    >>> names_depthwise("blocks.0.conv_dw"), names_depthwise("features.1.dwconv.conv")
    (True, False)
    >>> names_depthwise("backbone.layers.0.mixer.conv1d")
    True
    """
    return bool(_DEPTHWISE.fullmatch(split_name(layer)[1]) or _STATE_SPACE.fullmatch(layer))


def names_fused_projections(layer: str) -> bool:
    """Return whether a layer is named as query, key and value in one weight.

    >>> names_fused_projections("blocks.0.attn.qkv"), names_fused_projections("attn.query")
    (True, False)
    """
    return bool(_FUSED.fullmatch(split_name(layer)[1]))


def names_conv1d(layer: str) -> bool:
    """Return whether a layer is named as the Conv1D of GPT-2, a dense layer kept as (in, out).

    >>> names_conv1d("transformer.h.0.attn.c_attn"), names_conv1d("h.0.attn.query")
    (True, False)
    """
    return split_name(layer)[1] in _TURNED
