"""A checkpoint as a model: a mapping of arrays for the reference adapter."""

from __future__ import annotations

from dataclasses import replace

from secateur.adapter import Checkpoint
from secateur.checkpoints.infer_kinds import Inferred, Kinds, assumptions, infer, parameters_of
from secateur.checkpoints.parts import Part
from secateur.errors import listed
from secateur.layout import Array
from secateur.numpy_adapter import ArrayBinding, NumpyAdapter

_MOST_NAMES = 8


def _layers(checkpoint: Checkpoint, found: Inferred, binding: ArrayBinding) -> tuple[str, ...]:
    """Return every layer that holds a weight, in the order of the file."""
    specs = {weight.spec.name: weight.spec for weight in binding.weights}
    if checkpoint.layers is not None:
        known = {layer for spec in specs.values() for layer in (spec.layer, *spec.alias_layers)}
        return tuple(layer for layer in checkpoint.layers if layer in known)
    met = (each if isinstance(each, str) else specs[each.weight].layer for each in found.layers)
    return tuple(dict.fromkeys(met))


class CheckpointBinding:
    """A checkpoint, bound.

    Args:
        checkpoint: The checkpoint.
        kinds: What the user says of some tensors.
        blank: Whether the values are not read at all: of the weights only the specs count.

    Attributes:
        parts: Where in the file each weight lies, by the weight's name.
        binding: The binding over the weights that the file holds, in canonical layout.
        reasons: Why weights are of their kind, by name, where it is not their rank.
        notes: What was assumed of the file, in words.

    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        kinds: Kinds = (),
        blank: bool = False,
    ) -> None:
        inferred = infer(checkpoint, kinds)
        self.parts = {part.weight: part for part in inferred.parts}
        arrays: dict[str, Array] = {}

        def values(part: Part) -> Array:
            if blank:
                return part.blank(checkpoint.tensors[part.tensor], checkpoint.path)
            if part.tensor not in arrays:
                arrays[part.tensor] = checkpoint.read(part.tensor)
            return part.canonical(arrays[part.tensor])

        model = {part.weight: (values(part), part.kind) for part in inferred.parts}
        self.binding: ArrayBinding = NumpyAdapter().bind(
            {name: value if value[1] else value[0] for name, value in model.items()}
        )
        for weight in self.binding.weights:
            part = self.parts[weight.spec.name]
            dtype = checkpoint.tensors[part.tensor].dtype
            layer = part.layer or weight.spec.layer
            aliases = (*weight.spec.aliases, *part.aliases)
            weight.spec = replace(
                weight.spec,
                layer=layer,
                dtype=dtype,
                aliases=aliases,
                alias_layers=part.alias_layers,
            )
        self.binding.layers = _layers(checkpoint, inferred, self.binding)
        self.binding.skipped = [*self.binding.skipped, *inferred.skipped]
        self.binding.adapter = checkpoint.adapter
        self.binding.ordered = checkpoint.ordered
        self.binding.knows_trainable = False
        self.binding.parameters = sum(
            parameters_of(tensor)
            for name, tensor in checkpoint.tensors.items()
            if name not in checkpoint.tied
        )
        self.reasons = {part.weight: part.reason for part in inferred.parts if part.reason}
        self.notes = assumptions(self.reasons, checkpoint.weights is not None)
        if checkpoint.untouched:
            others = listed(checkpoint.untouched, _MOST_NAMES)
            self.notes.append(f"holds weights too, and stays as it is: {others}")
