"""The namespace `tfmot.sparsity.keras`: the names that the toolkit exports."""

from __future__ import annotations

from secateur_keras.tfmot.callback import UpdatePruningStep as UpdatePruningStep
from secateur_keras.tfmot.prunable_layer import PrunableLayer as PrunableLayer
from secateur_keras.tfmot.prune import prune_low_magnitude as prune_low_magnitude
from secateur_keras.tfmot.prune import prune_scope as prune_scope
from secateur_keras.tfmot.prune import strip_pruning as strip_pruning
from secateur_keras.tfmot.pruning_policy import PruningPolicy as PruningPolicy
from secateur_keras.tfmot.schedules import ConstantSparsity as ConstantSparsity
from secateur_keras.tfmot.schedules import PolynomialDecay as PolynomialDecay
from secateur_keras.tfmot.schedules import PruningSchedule as PruningSchedule
from secateur_keras.tfmot.summaries import PruningSummaries as PruningSummaries
from secateur_keras.tfmot.xnnpack import PruneForLatencyOnXNNPack as PruneForLatencyOnXNNPack

__all__ = [
    "ConstantSparsity",
    "PolynomialDecay",
    "PrunableLayer",
    "PruneForLatencyOnXNNPack",
    "PruningPolicy",
    "PruningSchedule",
    "PruningSummaries",
    "UpdatePruningStep",
    "prune_low_magnitude",
    "prune_scope",
    "strip_pruning",
]
