"""A framework's own names of weights, such as ``0.weight``, and ours, such as ``0:kernel``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_ROLES = {
    "weight": ("kernel", "embedding"),
    "kernel": ("kernel",),
    "embeddings": ("embedding",),
    "embedding": ("embedding",),
    "recurrent_kernel": ("recurrent",),
    "weight_ih": ("kernel",),
    "weight_hh": ("recurrent",),
    "q_proj_weight": ("query",),
    "k_proj_weight": ("key",),
    "v_proj_weight": ("value",),
    "q_proj.weight": ("query",),
    "k_proj.weight": ("key",),
    "v_proj.weight": ("value",),
    "out_proj.weight": ("output",),
    "query.kernel": ("query",),
    "key.kernel": ("key",),
    "value.kernel": ("value",),
    "out.kernel": ("output",),
    "output.kernel": ("output",),
    "attention_output.kernel": ("output",),
}
_WRAPPERS = re.compile(r"^(?:module\.|_orig_mod\.)+")
_STACKED = re.compile(r"(.*)\.(weight_ih|weight_hh)_(l\d+)(_reverse)?")


def named_natively(name: str, known: Iterable[str]) -> str | None:
    """Return the weight that a framework's own name means, or None if none or several fit.

    Args:
        name: Such as PyTorch's ``0.weight`` or Keras's ``hidden/kernel``.
        known: The names of the weights, as in a plan, aliases included.

    Example:
        >>> named_natively("0.weight", ["0:kernel", "2:kernel"])
        '0:kernel'
        >>> named_natively("hidden/kernel", ["hidden:kernel"])
        'hidden:kernel'

    """
    text = _plain(name)
    if "." not in text:
        return None
    names = set(known)
    fits = [each for each in _candidates(text) if each in names]
    return fits[0] if fits else _only_weight(text, names)


def in_our_words(name: str) -> str:
    """Return the name that a weight probably has here, for a framework's own; else the name.

    Example:
        >>> in_our_words("hiden/kernel"), in_our_words("hiden")
        ('hiden:kernel', 'hiden')

    """
    return next(_candidates(_plain(name)), name)


def _plain(name: str) -> str:
    return _WRAPPERS.sub("", name[:1000].replace("/", ".").removesuffix(":0"))


def _candidates(text: str) -> Iterator[str]:
    parts = text.split(".")
    for length in (1, 2):
        layer, attribute = ".".join(parts[:-length]), ".".join(parts[-length:])
        yield from (f"{layer}:{role}" for role in _ROLES.get(attribute, ()))
    if stacked := _STACKED.fullmatch(text):
        layer, attribute, row, is_reverse = stacked.groups()
        (role,) = _ROLES[attribute]
        direction = ".backward" if is_reverse else ".forward"
        yield f"{layer}.{row}{direction}:{role}"
        yield f"{layer}.{row}:{role}"


def _only_weight(text: str, names: set[str]) -> str | None:
    """Return the weight of a layer that has a single one, whatever its attribute is called."""
    layer, _, attribute = text.rpartition(".")
    if "bias" in attribute:
        return None
    found = [each for each in names if each.rpartition(":")[0] == layer]
    return found[0] if len(found) == 1 else None
