"""To ONNX, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from secateur import ExportSource, StoredTensor
from secateur.layout import Array
from secateur_exports.base import KERAS, PROGRAM, TORCH, ModelExporter, backend_of_keras
from secateur_exports.models import Model, calibration_batches

_OPSET = 18


class OnnxExporter(ModelExporter):
    """An exporter by the name ``onnx``: opset 18, weights as symmetric int8 where quantized.

    Example:
        >>> OnnxExporter().quantizations
        ('none', 'float16', 'dynamic', 'int8')

    """

    kind = "onnx"
    quantizations = ("none", "float16", "dynamic", "int8")
    extra = "onnx"
    packages = {
        KERAS: ("onnx", "onnxruntime", "tf2onnx"),
        TORCH: ("onnx", "onnxruntime", "onnxscript"),
        PROGRAM: ("onnx", "onnxruntime", "onnxscript"),
    }
    runtime = "onnxruntime"
    bfloat16 = False

    def combination(self, source: ExportSource) -> str | None:
        if source.adapter == KERAS and backend_of_keras() == "jax":
            return (
                "ONNX is not written from Keras on JAX; save the model as .keras, and export that "
                "file with KERAS_BACKEND=tensorflow"
            )
        return None

    def convert(self, source: ExportSource, model: Model, path: Path) -> Sequence[str]:
        return write_onnx(source, model, path)

    def run(self, path: Path, model: Model) -> list[Array]:
        return run_onnx(path, model.names, model.inputs)

    def tensors(self, path: Path) -> list[StoredTensor]:
        import onnx

        return list(stored_tensors(onnx.load(path)))


def write_onnx(source: ExportSource, model: Model, path: Path) -> list[str]:
    """Write a model as ONNX.

    Args:
        source: What is exported.
        model: Its model.
        path: The file to write.

    Returns:
        What a user should know of the file.

    """
    if source.adapter == KERAS:
        _write_keras(model, path)
    else:
        _write_torch(model, path)
    if source.quantize == "float16":
        _to_float16(path)
    elif source.quantize == "dynamic":
        _quantize_dynamic(path)
    elif source.quantize == "int8":
        _quantize_int8(path, model, calibration_batches(source, model))
    return []


def _write_keras(model: Any, path: Path) -> None:
    with _inlined(model.backend):
        model.model.export(path, format="onnx", verbose=False, opset_version=_OPSET)


@contextmanager
def _inlined(backend: str) -> Iterator[None]:
    """Trace into functions that Keras compiles by themselves, such as grouped convolutions.

    Args:
        backend: The backend of Keras.

    """
    if backend != "tensorflow":
        yield
        return
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _write_torch(model: Any, path: Path) -> None:
    import torch

    args, kwargs = model.tensors(model.inputs)
    made: Any = torch.onnx.export(
        model.program or model.module,
        () if model.program else args,
        kwargs=None if model.program else kwargs,
        dynamic_shapes=None if model.program else _dynamic(args, kwargs),
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    made.save(path, external_data=False)


def _dynamic(args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Return that the first axis of each input is the batch, where the graph lets it vary."""
    import torch

    axes = [{0: torch.export.Dim.AUTO} if each.ndim else None for each in (*args, *kwargs.values())]
    return dict(zip(kwargs, axes, strict=True)) if kwargs else tuple(axes)


def _to_float16(path: Path) -> None:
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    onnx.save(convert_float_to_float16(onnx.load(path), keep_io_types=True), path)


def _quantize_dynamic(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # QInt8 is symmetric: its zero point is 0, so that a pruned weight is stored as 0
    quantize_dynamic(path, path, weight_type=QuantType.QInt8, per_channel=True)


def _quantize_int8(path: Path, model: Model, batches: Sequence[Sequence[Array]]) -> None:
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    names = _input_names(path, model.names)
    quantize_static(
        path,
        path,
        _Batches([dict(zip(names, batch, strict=True)) for batch in batches]),
        quant_format=QuantFormat.QDQ,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QInt8,
        per_channel=True,
    )


class _Batches:
    """Calibration data as onnxruntime reads it."""

    def __init__(self, batches: Sequence[dict[str, Array]]) -> None:
        self._left = iter(batches)

    def get_next(self) -> dict[str, Array] | None:
        return next(self._left, None)


def _input_names(path: Path, names: Sequence[str]) -> list[str]:
    """Return the names in a file of a model's inputs: the same, or in the same order."""
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    found = [each.name for each in graph.input]
    return list(names) if set(found) == set(names) else found


def run_onnx(path: Path, names: Sequence[str], inputs: Sequence[Array]) -> list[Array]:
    """Return the outputs of an ONNX file, by onnxruntime.

    Args:
        path: The file.
        names: The names of the model's inputs.
        inputs: Their arrays.

    """
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    known = {each.name: each.type for each in session.get_inputs()}
    chosen = list(names) if set(known) == set(names) else list(known)
    feed = {
        name: array.astype(_DTYPES.get(known[name], array.dtype))
        for name, array in zip(chosen, inputs, strict=True)
    }
    return [np.asarray(each) for each in session.run(None, feed)]


_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
}


def stored_tensors(model: Any) -> Iterator[StoredTensor]:
    """Yield every constant of an ONNX model, those of loops and branches included.

    Args:
        model: The model.

    """
    from onnx import numpy_helper

    arrays = {name: numpy_helper.to_array(each) for name, each in _constants(model.graph)}
    axes = dict(_axes(model.graph))
    for name, values in arrays.items():
        base = name.removesuffix("_quantized")
        scale, zero = arrays.get(f"{base}_scale"), arrays.get(f"{base}_zero_point")
        if values.dtype.kind in "iu" and scale is not None and zero is not None:
            if scale.ndim == 2:  # of an LSTM: a scale for each direction and output
                yield StoredTensor(name, values, zero[:, None], scale[:, None])
                continue
            axis = axes.get(name, _last_axis(values, scale))
            yield StoredTensor(name, values, zero.ravel(), scale.ravel(), axis)
        elif values.dtype.kind == "f":
            yield StoredTensor(name, values)


def _last_axis(values: Array, scale: Array) -> int:
    """Return the last axis along which there is a scale for each index."""
    fitting = [axis for axis, length in enumerate(values.shape) if length == scale.size]
    return fitting[-1] if fitting else 0


def _graphs(graph: Any) -> Iterator[Any]:
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.g.node:
                yield from _graphs(attribute.g)


def _constants(graph: Any) -> Iterator[tuple[str, Any]]:
    for each in _graphs(graph):
        yield from ((tensor.name, tensor) for tensor in each.initializer)
        for node in each.node:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                yield node.output[0], node.attribute[0].t


def _axes(graph: Any) -> Iterator[tuple[str, int]]:
    """Yield the axis of the scales of a quantized constant, where its node says it."""
    for each in _graphs(graph):
        for node in each.node:
            if node.op_type == "DequantizeLinear":
                yield node.input[0], next((a.i for a in node.attribute if a.name == "axis"), 1)
            elif node.op_type == "ConvInteger":
                yield node.input[1], 0
