"""TensorBoard: sparsity, thresholds and masks of a run, beside the run's own curves."""

from __future__ import annotations

from secateur_tensorboard.observer import TensorBoard

__all__ = ["TensorBoard"]
