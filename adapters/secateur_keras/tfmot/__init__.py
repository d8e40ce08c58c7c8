"""The pruning part of TensorFlow Model Optimization, on the plain models of Keras 3.

Code for the toolkit runs with this import alone changed, on every backend of Keras; a policy of
secateur does the pruning, and `to_policy` shows and writes it.

>>> import secateur_keras.tfmot as tfmot
>>> tfmot.sparsity.keras.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=100).final_sparsity
0.8
"""

from __future__ import annotations

from typing import NoReturn

import secateur
from secateur import __version__ as __version__
from secateur_keras.tfmot import sparsity as sparsity
from secateur_keras.tfmot.called import CalledSchedule
from secateur_keras.tfmot.policies import to_policy as to_policy
from secateur_keras.tfmot.prunable_layer import PrunableLayers

__all__ = ["sparsity", "to_policy"]

_ELSEWHERE = {
    "quantization": "quantize what strip_pruning returns: secateur export --quantize int8",
    "clustering": "share values in the file instead: secateur pack --values clustered",
    "experimental": "quantize what strip_pruning returns: secateur export --quantize int8",
}


class _Plugin(PrunableLayers):
    """What is added to secateur: layers that name their weights, schedules that are code."""

    @secateur.hookimpl
    def secateur_schedules(self) -> list[type[secateur.Schedule]]:
        return [CalledSchedule]


secateur.register(_Plugin(), "tfmot")


def __getattr__(name: str) -> NoReturn:
    if name in _ELSEWHERE:
        raise AttributeError(
            f"secateur_keras.tfmot has the pruning part of the toolkit, and no {name}: "
            f"{_ELSEWHERE[name]}. See docs/how-to/from-tfmot.md"
        )
    raise AttributeError(f"module 'secateur_keras.tfmot' has no attribute {name!r}")
