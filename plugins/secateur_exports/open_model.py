"""The model of a source, by its framework."""

from __future__ import annotations

from secateur import ExportSource
from secateur_exports.models import Model


def open_model(source: ExportSource) -> Model:
    """Return the model of a source, by its framework.

    Args:
        source: What is exported.

    Raises:
        ExportError: The inputs do not fit the model, or are missing.

    """
    if source.adapter == "keras":
        from secateur_exports.keras_model import KerasModel

        return KerasModel(source.model, source.inputs)
    from secateur_exports.torch_model import TorchModel

    return TorchModel(source.model, source.inputs)
