"""Quantization of a .tflite file by ai-edge-quantizer: symmetric, so that 0 is stored as 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur import ExportError, ExportSource
from secateur.layout import Array


def quantize(
    source: ExportSource, path: Path, key: str, batches: Sequence[dict[str, Array]]
) -> list[str]:
    """Quantize a file in place.

    Args:
        source: What is exported.
        path: The file.
        key: The name of its signature.
        batches: Inputs by name, for the ranges of activations.

    Returns:
        What a user should know of the file.

    """
    from ai_edge_quantizer import qtyping, quantizer, recipe_manager

    recipe = recipe_manager.RecipeManager()
    every = qtyping.TFLOperationName.ALL_SUPPORTED
    notes = []
    if source.quantize == "float16":
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=weights,
            compute_precision=qtyping.ComputePrecision.FLOAT,
            explicit_dequantize=True,
        )
        recipe.add_quantization_config(".*", every, config, algorithm_key="float_casting")
    elif source.quantize == "dynamic":
        recipe.add_dynamic_config(".*", every, num_bits=8)
    else:
        granularity = qtyping.QuantGranularity.CHANNELWISE
        if _has_empty_channel(source):
            # the scale of a channel of zeros is next to 0, and a bias divided by it overflows
            granularity = qtyping.QuantGranularity.TENSORWISE
            notes = ["one scale for each weight and not for each channel: some channels are all 0"]
        recipe.add_static_config(
            ".*",
            every,
            activation_num_bits=8,
            weight_num_bits=8,
            weight_granularity=granularity,
        )
        if _loops(path):
            raise ExportError(
                "to='litert': int8 is not written for a file with loops, which TensorFlow makes "
                "of an LSTM or GRU, since ai-edge-quantizer cannot calibrate them; take "
                "quantize='dynamic', or to='onnx'"
            )
    made = quantizer.Quantizer(str(path))
    made.load_quantization_recipe(recipe.get_quantization_recipe())
    ranges = _ranges(path, key, batches, recipe) if made.need_calibration else None
    made.quantize(ranges).export_model(str(path), overwrite=True)
    return notes


def _ranges(path: Path, key: str, batches: Sequence[dict[str, Array]], recipe: Any) -> Any:
    """Return the smallest and the largest value of each activation.

    By itself the quantizer takes a moving average, in which the first sample counts for most and
    the range of what later samples hold is cut off.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils.qsv_utils import min_max_update

    found = calibrator.Calibrator(path.read_bytes(), qsv_update_func=min_max_update)
    found.calibrate({key: list(batches)}, recipe)
    return {name: _with_width(each) for name, each in found.get_model_qsvs().items()}


def _with_width(limits: dict[str, Any]) -> dict[str, Any]:
    """Return limits that are apart: a scale of 0 cannot be run, and zeros have any scale."""
    if "max" not in limits or (limits["max"] > limits["min"]).any():
        return limits
    return {**limits, "max": limits["max"] + 1}


def _loops(path: Path) -> bool:
    from ai_edge_litert import schema_py_generated as schema

    return bool(schema.Model.GetRootAs(path.read_bytes()).SubgraphsLength() > 1)


def _has_empty_channel(source: ExportSource) -> bool:
    weights = source.weights.values()
    return any((weight.reshape(len(weight), -1) == 0).all(1).any() for weight in weights)
