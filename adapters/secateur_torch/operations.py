"""What the operations of torch do with a weight that they are given."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VIEWS = _words(
    "T mT data to type float half bfloat16 double contiguous detach t transpose permute view "
    "reshape flatten unflatten squeeze unsqueeze swapaxes movedim narrow select expand chunk "
    "split unbind clone cuda cpu"
)
"""Attributes and methods of a weight that give the same values in another form."""
FACTS = _words(
    "shape dtype device ndim requires_grad is_cuda layout is_meta size dim numel nelement "
    "stride ndimension element_size is_contiguous is_floating_point is_complex new_zeros "
    "new_ones new_empty new_full new_tensor get_device data_ptr"
)
"""Attributes and methods of a weight that do not tell its values."""
LIKE = _words("type_as to view_as reshape_as expand_as")
"""Methods of another tensor that use the form of a weight, and not its values."""
PRODUCTS = _words("matmul mm bmm mv")
"""Methods that multiply a weight with an input."""


def _functions(names: str) -> set[Any]:
    modules = (functional, torch)
    return {getattr(m, name) for m in modules for name in names.split() if hasattr(m, name)}


SECOND = _functions(
    "linear conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d embedding "
    "embedding_bag"
)
"""Operations whose second argument is a weight, and whose first is an input."""
ANY = _functions(
    "bilinear multi_head_attention_forward matmul mm bmm mv addmm baddbmm einsum tensordot"
)
"""Operations that take a weight anywhere, and an input besides it."""
SHAPES = _functions("zeros_like ones_like empty_like full_like rand_like randn_like")
"""Functions that use the form of a weight, and not its values."""
JOINS = _functions("cat concat concatenate stack vstack")
"""Functions that put weights side by side."""
FORWARDS = _words("forward _conv_forward __call__")
"""Methods of torch's layers that compute with the weight."""


def is_in(thing: Any, known: set[Any]) -> bool:
    """Return whether a function is one of some; by identity, for not all of them can be hashed.

    Args:
        thing: What is called.
        known: The functions.

    """
    return any(thing is each for each in known)
