"""To OpenVINO's IR, run by OpenVINO on the processor: by way of ONNX, which it reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from secateur import ExportError, ExportSource, StoredTensor
from secateur.layout import Array
from secateur_exports.base import KERAS, PROGRAM, TORCH, ModelExporter
from secateur_exports.models import Model
from secateur_exports.onnx import OnnxExporter, write_onnx


class OpenvinoExporter(ModelExporter):
    """An exporter by the name ``openvino``: an .xml file and the .bin file with its weights.

    Example:
        >>> OpenvinoExporter().kind
        'openvino'

    """

    kind = "openvino"
    quantizations = ("none", "float16", "int8")
    refused = {
        "dynamic": "it reads ONNX's dynamic quantization as float operations, and the file grows"
    }
    extra = "openvino"
    packages = {
        adapter: ("openvino", *OnnxExporter.packages[adapter])
        for adapter in (KERAS, TORCH, PROGRAM)
    }
    runtime = "openvino"

    def combination(self, source: ExportSource) -> str | None:
        return OnnxExporter().combination(source)

    def convert(self, source: ExportSource, model: Model, path: Path) -> Sequence[str]:
        import openvino

        if path.suffix != ".xml":
            raise ExportError(
                f"{path.name}: OpenVINO reads no model whose name does not end in .xml; write "
                f"{path.stem}.xml, and its weights go to {path.stem}.bin"
            )
        onnx_file = path.with_name(f"{path.stem}.onnx")
        before = replace(source, quantize="none") if source.quantize == "float16" else source
        notes = write_onnx(before, model, onnx_file)
        made = openvino.convert_model(onnx_file)
        openvino.save_model(made, path, compress_to_fp16=source.quantize == "float16")
        onnx_file.unlink()
        return notes

    def run(self, path: Path, model: Model) -> list[Array]:
        import openvino

        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = openvino.Core().compile_model(path, "CPU", exact)
        known = [each.get_names() for each in compiled.inputs]
        order = {name: i for i, names in enumerate(known) for name in names}
        if all(name in order for name in model.names):
            feed = {order[name]: a for name, a in zip(model.names, model.inputs, strict=True)}
        else:
            feed = dict(enumerate(model.inputs))
        found = compiled(feed)
        return [np.asarray(found[each]) for each in compiled.outputs]

    def tensors(self, path: Path) -> list[StoredTensor]:
        import openvino

        found = []
        for each in openvino.Core().read_model(path).get_ops():
            if each.get_type_name() == "Constant":
                name, values = each.get_friendly_name(), np.array(each.data)
                # what multiplies a float may be a weight, where a batch norm is beside it
                zero, scale = _quantization(each) if values.dtype.kind in "iu" else (0, 1.0)
                found.append(StoredTensor(name, values, zero, scale))
        return found


def _quantization(constant: Any) -> tuple[Any, Any]:
    """Return the zero point and the scale that are subtracted from a constant, and multiplied."""
    zero: Any = 0
    scale: Any = 1.0
    for _ in range(3):  # Convert, Subtract, Multiply
        users = list(constant.output(0).get_target_inputs())
        if len(users) != 1 or users[0].get_node().get_type_name() not in _DEQUANTIZING:
            break
        constant = users[0].get_node()
        value = _other_constant(constant, 1 - users[0].get_index())
        if constant.get_type_name() == "Subtract" and value is not None:
            zero = value
        elif constant.get_type_name() == "Multiply" and value is not None:
            scale = value
    return zero, scale


_DEQUANTIZING = ("Convert", "Subtract", "Multiply")


def _other_constant(node: Any, index: int) -> Any:
    """Return the values of the constant on the other side of a node, or None."""
    if node.get_type_name() == "Convert":
        return None
    source = node.input_value(index).get_node()
    if source.get_type_name() == "Convert":
        source = source.input_value(0).get_node()
    return np.array(source.data) if source.get_type_name() == "Constant" else None
