"""The namespace `tfmot.sparsity`."""

from __future__ import annotations

from secateur_keras.tfmot.sparsity import keras as keras

__all__ = ["keras"]
