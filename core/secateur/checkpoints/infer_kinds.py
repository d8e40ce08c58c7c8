"""What a checkpoint does not say: the kind of each weight, and its place in the model.

Layouts are taken as canonical, ``(out, in, *spatial)``, which is how PyTorch keeps dense and
convolution kernels.  A tensor of rank 2 is dense and one of rank 3 to 5 a convolution, unless
its name is said to be of another kind; all others are left dense.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from secateur.adapter import Checkpoint, Tensor
from secateur.errors import ModelError, nearest
from secateur.kinds import kind_names

ASSUMED = (
    "assumed: kernels as (out, in, *spatial), rank 2 is dense, rank 3 to 5 is conv; say "
    "otherwise by --kind 'GLOB=KIND'"
)
SKIP = "skip"
# Stacked gates and packed projections are not matrices of (out, in), and their number is
# not in the file: pruning them as such would group weights that do not belong together.
_PACKED = re.compile(r"(.*\.)?(weight_[ih]h(_l\d+(_reverse)?)?|in_proj_weight)")

Kinds = Sequence[tuple[str, str]]
"""Pairs of a glob for names and the kind, or "skip", that it says; the first that fits counts."""


def parse_kinds(words: Sequence[str]) -> Kinds:
    """Return pairs of glob and kind from ``GLOB=KIND``.  Raises ModelError for another form."""
    pairs = []
    for word in words:
        glob, equals, kind = word.rpartition("=")
        if not equals or kind not in (*kind_names(), SKIP):
            raise ModelError(
                f"--kind {word!r}: wanted GLOB=KIND, {nearest(kind, (*kind_names(), SKIP))}"
            )
        pairs.append((glob, kind))
    return pairs


def weight_name(tensor: str, kind: str | None = None) -> str:
    """Return the name that an adapter would give: the layer's, and the role.

    >>> weight_name("encoder.0.ffn.weight"), weight_name("fc")
    ('encoder.0.ffn:kernel', 'fc')
    """
    layer, dot, last = tensor.rpartition(".")
    if not dot or last != "weight":
        return tensor
    return f"{layer}:{'embedding' if kind == 'embedding' else 'kernel'}"


def assume(checkpoint: Checkpoint, kinds: Kinds = ()) -> tuple[dict[str, str | None], list[Tensor]]:
    """Return the tensors that may be pruned with their kinds, None by rank, and the others.

    Raises ModelError for a glob that fits no tensor.
    """
    for glob, _ in kinds:
        if not any(_fits(name, glob) for name in checkpoint.tensors):
            raise ModelError(f"--kind: {glob!r} fits none of: {', '.join(checkpoint.tensors)}")
    chosen: dict[str, str | None] = {}
    others: list[Tensor] = []
    for name, tensor in checkpoint.tensors.items():
        said = next((kind for glob, kind in kinds if _fits(name, glob)), None)
        if said == SKIP or (said is None and _PACKED.fullmatch(name)):
            others.append(tensor)
        else:
            chosen[name] = said
    return chosen, others


def _fits(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(weight_name(name), glob)
