"""What a checkpoint does not say: which tensors are weights, and of which kind.

Layouts are taken as canonical, ``(out, in, *spatial)``, which is how PyTorch keeps dense and
convolution kernels.  A tensor of rank 2 is dense and one of rank 3 to 5 a convolution, unless
its name or the tensors next to it say that it is something else; all others are left dense.
A depthwise kernel is one by its name alone: the first convolution of gray images has its shape.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from secateur.adapter import Checkpoint, KnownWeight, Skipped, Tensor
from secateur.checkpoints.inferred.biases import BiasHint, hints_of_biases
from secateur.checkpoints.inferred.experts import expert_parts, routers
from secateur.checkpoints.inferred.habits import (
    is_kernel,
    is_parametrized,
    names_depthwise,
    names_embedding,
    names_fused_projections,
    names_kernels,
    names_normalization,
    split_name,
    unwrapped,
)
from secateur.checkpoints.inferred.packed import is_packed, packed_parts
from secateur.checkpoints.parts import Part
from secateur.checkpoints.raw import FLOAT8
from secateur.errors import ModelError, listed, nearest
from secateur.kinds import kind_names
from secateur.layout import FLOATS

ASSUMED = (
    "assumed: kernels as (out, in, *spatial), rank 2 is dense, rank 3 to 5 is conv; say "
    "otherwise by --kind 'GLOB=KIND'"
)
SKIP = "skip"
_STATISTICS = ("running_mean", "running_var")
"""What PyTorch keeps in a file, and does not train."""
_FUSED = "dense: query, key and value in one weight, one below the other, by the layer's name"
_SHOWN = 8
"""How many names an error lists."""

Kinds = Sequence[tuple[str, str]]
"""Pairs of a glob for names and the kind, or "skip", that it gives; the first that fits counts."""


def parse_kinds(words: Sequence[str]) -> Kinds:
    """Return pairs of glob and kind from ``GLOB=KIND``.

    >>> parse_kinds(["embed*=embedding", "head.*=skip"])
    [('embed*', 'embedding'), ('head.*', 'skip')]

    Raises:
        ModelError: A word has another form, or names no kind.

    """
    pairs = []
    for word in words:
        glob, equals, kind = word.rpartition("=")
        if not equals or kind not in (*kind_names(), SKIP):
            raise ModelError(
                f"--kind {word!r:.80}: wanted GLOB=KIND, {nearest(kind, (*kind_names(), SKIP))}"
            )
        pairs.append((glob, kind))
    return pairs


def weight_name(tensor: str, kind: str | None = None) -> str:
    """Return the name that an adapter would give: the layer's, and the role.

    >>> weight_name("encoder.0.ffn.weight"), weight_name("fc")
    ('encoder.0.ffn:kernel', 'fc')
    """
    layer, dot, last = unwrapped(tensor).rpartition(".")
    if not dot or last != "weight":
        return unwrapped(tensor)
    return f"{layer}:{'embedding' if kind == 'embedding' else 'kernel'}"


def assumptions(reasons: Mapping[str, str], known: bool = False) -> list[str]:
    """Return what was assumed of a checkpoint, one line for each reason.

    >>> assumptions({"lstm:kernel": "rnn of 4 gates", "lstm:recurrent": "rnn of 4 gates"})[1:]
    ['assumed: rnn of 4 gates: lstm:kernel and 1 more']

    Args:
        reasons: Why weights are of their kind, by name.
        known: Whether the format knows its weights, and their layouts.

    """
    counts = Counter(reasons.values())
    first = {reason: name for name, reason in reversed(list(reasons.items()))}
    return ([] if known else [ASSUMED]) + [
        f"assumed: {reason}: {first[reason]}" + (f" and {count - 1} more" if count > 1 else "")
        for reason, count in counts.items()
    ]


def parameters_of(tensor: Tensor) -> int:
    """Return how many parameters a tensor is: floats that are trained, and quantized ones.

    >>> parameters_of(Tensor("fc.weight", "int8", (2, 3)))
    6
    >>> parameters_of(Tensor("bn.num_batches_tracked", "int64", ()))
    0
    """
    is_number = tensor.dtype in (*FLOATS, *FLOAT8) or tensor.is_quantized
    return tensor.size if is_number and split_name(tensor.name)[1] not in _STATISTICS else 0


@dataclass(frozen=True)
class Inferred:
    """The prunable weights of a checkpoint, in its order, and what is left dense.

    Attributes:
        parts: The weights.
        skipped: What is left dense.
        layers: Every layer that holds one, in order; a weight stands for its own layer.

    """

    parts: list[Part] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    layers: list[Part | str] = field(default_factory=list)


def infer(checkpoint: Checkpoint, kinds: Kinds = ()) -> Inferred:
    """Return which weights a checkpoint holds.

    Args:
        checkpoint: The checkpoint; its values are not read.
        kinds: What the user says of some tensors, which goes before everything else.

    Raises:
        ModelError: A glob fits no tensor.

    """
    if checkpoint.weights is not None:
        return _known(checkpoint, checkpoint.weights, kinds)
    tensors = checkpoint.tensors
    experts = expert_parts(tensors)
    packed = {**packed_parts(tensors), **experts}
    routing = routers(experts)
    names = {name: [name, *_weight_names(name, packed.get(name, ()))] for name in tensors}
    _check_globs(kinds, names)
    framework = names_kernels(tensors)
    hints = hints_of_biases(tensors)
    parts: list[Part] = []
    left: list[tuple[Tensor, str]] = []
    layers: list[Part | str] = []
    taken: set[str] = set()
    for name, tensor in tensors.items():
        if alias_layer := _add_alias(parts, name, checkpoint.tied.get(name)):
            layers.append(alias_layer)
            continue
        said = _said(names[name], kinds)
        reason = _refusal(tensor, said, tensors, framework, bool(packed.get(name)))
        if not reason and not said and unwrapped(name) in routing:
            reason = f"{tensor.dtype} of rank 2: routes to experts; see --kind"
        found = [] if reason else _parts_of(tensor, said, packed.get(name, []), hints.get(name))
        doubled = next((part.weight for part in found if part.weight in taken), None)
        if doubled is not None:
            reason = f"another tensor is called {doubled:.80} too; rename one of them"
        if reason:
            left.append((tensor, reason))
        else:
            parts += found
            layers += found
            taken.update(part.weight for part in found)
    _check_taken(kinds, names, {tensor.name: reason for tensor, reason in left})
    return Inferred(parts, _skipped(left, parts, checkpoint.tied), layers)


def _check_taken(kinds: Kinds, names: Mapping[str, Sequence[str]], left: Mapping[str, str]) -> None:
    """Raise ModelError if the user gives a kind to tensors none of which can be pruned."""
    for glob, kind in kinds:
        fitting = [name for name, known in names.items() if _fits(known, glob)]
        if kind != SKIP and all(name in left for name in fitting):
            first = fitting[0]
            raise ModelError(
                f"--kind: {glob!r:.80} fits nothing that can be pruned; {first:.80} is left dense: "
                f"{left[first]}"
            )


def _known(checkpoint: Checkpoint, weights: Sequence[KnownWeight], kinds: Kinds) -> Inferred:
    """Return the weights that a format knows, but for what the user says of them."""
    names = {w.name: [w.name, w.tensor, *w.aliases] for w in weights}
    others = {s.name: [s.name, weight_name(s.name)] for s in checkpoint.skipped}
    _check_globs(kinds, {**names, **others})
    found = Inferred()
    left: list[Skipped] = []
    for weight in weights:
        said = _said(names[weight.name], kinds)
        tensor = checkpoint.tensors[weight.tensor]
        if said == SKIP:
            size = parameters_of(tensor)
            found.skipped.append(Skipped(weight.tensor, "left out by --kind", size))
            continue
        fields = (weight.layer, weight.layout, weight.rows)
        reason = "" if said else weight.reason
        tied = (weight.aliases, weight.alias_layers)
        found.parts.append(
            Part(weight.name, weight.tensor, said or weight.kind, *fields, reason, *tied)
        )
    for skipped in checkpoint.skipped:
        said = _said(others[skipped.name], kinds)
        if skipped.name not in checkpoint.tensors:
            found.skipped.append(skipped)
        elif said in (None, SKIP):
            left.append(skipped)
        else:
            layout = checkpoint.layout_as(skipped.name, said)
            name = weight_name(skipped.name, said)
            found.parts.append(Part(name, skipped.name, said, layout=layout))
    layers = _layers_of(found.parts)
    for skipped in left:
        size = min(skipped.size, _size_left(checkpoint.tensors[skipped.name], layers))
        found.skipped.append(replace(skipped, size=size))
    return found


def _said(names: Sequence[str], kinds: Kinds) -> str | None:
    return next((kind for glob, kind in kinds if _fits(names, glob)), None)


def _add_alias(parts: list[Part], name: str, tied_to: str | None) -> str | None:
    """Add the name of a tensor that is the memory of a weight already; return its layer then."""
    for number, part in enumerate(parts):
        if tied_to is not None and part.tensor == tied_to:
            is_embedding = names_embedding(split_name(name)[0])
            alias = weight_name(name, "embedding" if is_embedding else None)
            layer = alias.rpartition(":")[0] or alias
            parts[number] = replace(
                part, aliases=(*part.aliases, alias), alias_layers=(*part.alias_layers, layer)
            )
            return layer
    return None


def _weight_names(name: str, parts: Sequence[Part]) -> list[str]:
    return [part.weight for part in parts] or [weight_name(name)]


def _check_globs(kinds: Kinds, names: Mapping[str, Iterable[str]]) -> None:
    for glob, _ in kinds:
        if not any(_fits(each, glob) for each in names.values()):
            raise ModelError(f"--kind: {glob!r:.80} fits none of: {listed(names, _SHOWN)}")


def _fits(names: Iterable[str], glob: str) -> bool:
    return any(fnmatchcase(name, glob) for name in names)


def _refusal(
    tensor: Tensor, said: str | None, tensors: Mapping[str, Tensor], framework: bool, packed: bool
) -> str | None:
    """Return why a tensor is left dense, or None."""
    # without the shape, so that tensors that are left dense for one reason are listed as one
    described = f"{tensor.dtype} of rank {len(tensor.shape)}"
    if said == SKIP:
        return "left out by --kind"
    is_named = is_kernel(tensor.name, framework)
    if not 2 <= len(tensor.shape) <= 5:
        return f"{described}: not a kernel"
    if tensor.dtype not in (*FLOATS, *FLOAT8):
        return _unpruned(tensor) if is_named else f"{described}: not a kernel"
    if said or packed:
        return None
    if is_packed(tensor.name):
        return f"{described}: packed, and its shape does not tell the parts; see --kind"
    if is_parametrized(tensor.name):
        return f"{described}: a weight is computed from it; prune the model that computes it"
    if not is_named:
        return f"{described}: not named as a kernel; see --kind"
    if _is_normalization(tensor, tensors):
        return f"{described}: parameters of normalization are never pruned; see --kind"
    return None


def _unpruned(tensor: Tensor) -> str:
    """Return why a kernel of a dtype that is never pruned is left dense."""
    described = f"{tensor.dtype} of rank {len(tensor.shape)}"
    if tensor.dtype.startswith("void"):
        return f"{described}: .npz keeps no bfloat16 or float8; save it as .safetensors"
    if not tensor.is_quantized and re.search("float|complex", tensor.dtype):
        return f"{described}: its dtype, or how it is stored, is none that is pruned"
    return tensor.why_dense


def _is_normalization(tensor: Tensor, tensors: Mapping[str, Tensor]) -> bool:
    """Return whether a tensor scales each value: its bias is of its own shape."""
    layer, last = split_name(tensor.name)
    bias = tensors.get(f"{tensor.name[: -len(last)]}bias")
    return names_normalization(layer) or (bias is not None and bias.shape == tensor.shape)


def _parts_of(
    tensor: Tensor, said: str | None, packed: list[Part], hint: BiasHint | None
) -> list[Part]:
    if said is None and packed:
        return packed
    layer, last = split_name(tensor.name)
    if said is None and last == "weight" and len(tensor.shape) == 2 and names_embedding(layer):
        name = weight_name(tensor.name, "embedding")
        return [Part(name, tensor.name, "embedding", reason="embedding, by the layer's name")]
    if said is None and _is_depthwise(tensor, layer):
        name = weight_name(tensor.name)
        return [Part(name, tensor.name, "depthwise", reason="depthwise, by the layer's name")]
    if said is None and not hint and len(tensor.shape) == 2 and names_fused_projections(layer):
        return [Part(weight_name(tensor.name), tensor.name, "dense", reason=_FUSED)]
    if said is None and hint:
        kind, layout, reason = hint
        return [Part(weight_name(tensor.name), tensor.name, kind, layout=layout, reason=reason)]
    return [Part(weight_name(tensor.name, said), tensor.name, said)]


def _is_depthwise(tensor: Tensor, layer: str) -> bool:
    """Return whether a tensor has the shape of a depthwise kernel, and its layer such a name."""
    is_fitting = len(tensor.shape) >= 3 and tensor.shape[0] > 1 == tensor.shape[1]
    return is_fitting and names_depthwise(layer)


def _skipped(
    left: Sequence[tuple[Tensor, str]], parts: Sequence[Part], tied: Container[str]
) -> list[Skipped]:
    layers = _layers_of(parts)
    return [
        Skipped(tensor.name, reason, 0 if tensor.name in tied else _size_left(tensor, layers))
        for tensor, reason in left
    ]


def _layers_of(parts: Sequence[Part]) -> set[str]:
    return {split_name(part.tensor)[0] for part in parts}


def _size_left(tensor: Tensor, pruned: set[str]) -> int:
    """Return the parameters of a tensor left dense; a pruned layer's bias is no such layer."""
    is_of_pruned = len(tensor.shape) < 2 and split_name(tensor.name)[0] in pruned
    return 0 if is_of_pruned else parameters_of(tensor)
