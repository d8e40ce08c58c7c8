"""The contract between core and a framework, and what every adapter needs to fulfil it.

An `Adapter` recognises the models of one framework.  Its `Binding` holds one model: the
weights that can be pruned, the layers that cannot and why, and the means to keep weights
masked while the framework's own training loop runs.  Core decides what the masks are, and
when.
"""

from __future__ import annotations

from secateur.adapter.adapter import Adapter
from secateur.adapter.binding import AttachedPruner, Binding
from secateur.adapter.checkpoint import (
    Checkpoint,
    KnownWeight,
    Pieces,
    ReadElements,
    Tensor,
)
from secateur.adapter.collect import (
    ATTACH_AGAIN,
    NORMALIZATION,
    NOT_PRUNABLE,
    QUANTIZED,
    Collected,
    Found,
    Unprunable,
    collect,
    layer_order,
    unknown_layer,
)
from secateur.adapter.layer_uses import bypassed_layers
from secateur.adapter.paired import PairedBinding
from secateur.adapter.source_paths import ANY_PART, Paths, below, covers, parameters_of, tree_of
from secateur.adapter.state import StatePart, StateTensor
from secateur.adapter.weights import LayerWeight, Skipped, Weight, WeightSpec
from secateur.arrays.clearing import clear_pruned, pruned_copy
from secateur.layout import FLOATS
from secateur.workers import SINGLE, Workers

__all__ = [
    "ANY_PART",
    "ATTACH_AGAIN",
    "FLOATS",
    "NORMALIZATION",
    "NOT_PRUNABLE",
    "QUANTIZED",
    "SINGLE",
    "Adapter",
    "AttachedPruner",
    "Binding",
    "Checkpoint",
    "Collected",
    "Found",
    "KnownWeight",
    "LayerWeight",
    "PairedBinding",
    "Paths",
    "Pieces",
    "ReadElements",
    "Skipped",
    "StatePart",
    "StateTensor",
    "Tensor",
    "Unprunable",
    "Weight",
    "WeightSpec",
    "Workers",
    "below",
    "bypassed_layers",
    "clear_pruned",
    "collect",
    "covers",
    "layer_order",
    "parameters_of",
    "pruned_copy",
    "tree_of",
    "unknown_layer",
]
