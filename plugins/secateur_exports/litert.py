"""To LiteRT (TensorFlow Lite), run by LiteRT with XNNPACK."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from secateur import ExportSource, StoredTensor
from secateur.layout import Array
from secateur_exports.base import (
    KERAS,
    PROGRAM,
    TORCH,
    ModelExporter,
    backend_of_keras,
    installed,
)
from secateur_exports.inputs import split
from secateur_exports.litert_file import stored_tensors
from secateur_exports.litert_quantize import quantize
from secateur_exports.models import Model, calibration_batches


class LitertExporter(ModelExporter):
    """An exporter by the name ``litert``: a .tflite file of fixed shapes.

    Keras models are converted by TensorFlow, PyTorch models by litert-torch; weights are
    quantized by ai-edge-quantizer, symmetric, so that a pruned weight is stored as 0.

    Example:
        >>> LitertExporter().quantizations
        ('none', 'float16', 'dynamic', 'int8')

    """

    kind = "litert"
    quantizations = ("none", "float16", "dynamic", "int8")
    extra = "litert"
    packages = {
        KERAS: ("ai_edge_litert", "ai_edge_quantizer"),
        TORCH: ("ai_edge_litert", "ai_edge_quantizer"),
        PROGRAM: ("ai_edge_litert", "ai_edge_quantizer"),
    }
    runtime = "ai-edge-litert"
    bfloat16 = False

    def combination(self, source: ExportSource) -> str | None:
        by_torch = source.adapter != KERAS or backend_of_keras() == "torch"
        converter = "litert_torch" if by_torch else "tensorflow"
        if not installed(converter):
            return f"this needs {converter} too: pip install {converter.replace('_', '-')}"
        return None

    def convert(self, source: ExportSource, model: Any, path: Path) -> Sequence[str]:
        if source.adapter == KERAS and model.backend != "torch":
            _write_tensorflow(model, path)
        else:
            _write_torch(source, model, path)
        notes = [f"it takes a batch of {model.batch}"] if model.batch is not None else []
        if source.quantize != "none":
            key, names, dtypes = _signature(_interpreter(path), model)
            batches = [
                {n: a.astype(d) for n, d, a in zip(names, dtypes, part, strict=True)}
                for batch in calibration_batches(source, model)
                for part in split(batch, model.batch)
            ]
            notes += quantize(source, path, key, batches)
        return notes

    def run(self, path: Path, model: Model) -> list[Array]:
        interpreter = _interpreter(path)
        return _joined(
            [_invoke(interpreter, model, part) for part in split(model.inputs, model.batch)]
        )

    def expected(self, model: Model) -> list[Array]:
        return _joined([model.run(part) for part in split(model.inputs, model.batch)])

    def tensors(self, path: Path) -> list[StoredTensor]:
        return list(stored_tensors(path))


def _joined(parts: Sequence[Sequence[Array]]) -> list[Array]:
    """Return the outputs of several batches as those of one."""
    return [np.concatenate(each) if each[0].ndim else each[0] for each in zip(*parts, strict=True)]


def _write_tensorflow(model: Any, path: Path) -> None:
    import keras
    import tensorflow as tf

    specs = [
        tf.TensorSpec((model.batch, *array.shape[1:]), array.dtype, name=f"input_{i}")
        for i, array in enumerate(model.inputs)
    ]
    archive = keras.export.ExportArchive()
    archive.track(model.model)
    archive.add_endpoint(
        "serve",
        lambda *given: {f"output_{i}": each for i, each in enumerate(model.call(given))},
        input_signature=specs,
        **({"is_static": True} if model.backend == "jax" else {}),
    )
    folder = path.with_name("saved_model")
    archive.write_out(str(folder), verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serve"])
    path.write_bytes(converter.convert())
    shutil.rmtree(folder)


def _write_torch(source: ExportSource, model: Any, path: Path) -> None:
    import torch

    with _jax_as_it_was():
        import litert_torch

        if source.adapter == KERAS:
            args = tuple(torch.from_numpy(array[: model.batch]) for array in model.inputs)
            litert_torch.convert(model.model, args).export(str(path))
            return
        args, kwargs = model.tensors(model.inputs)
        litert_torch.convert(model.module, args, kwargs or None).export(str(path))


@contextmanager
def _jax_as_it_was() -> Iterator[None]:
    """Undo that litert-torch sets JAX to 64 bits for the whole process."""
    import jax

    before = jax.config.jax_enable_x64
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


def _interpreter(path: Path) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(path))


def _number(name: str) -> tuple[int, str]:
    """Return the number at the end of a name, to sort by: input_10 comes after input_9."""
    found = re.search(r"(\d+)$", name)
    return (int(found[1]) if found else 0, name)


def _signature(interpreter: Any, model: Model) -> tuple[str, list[str], list[Any]]:
    """Return the name of the signature, and the names and dtypes of its inputs."""
    ((key, signature),) = interpreter.get_signature_list().items()
    names = _in_order(signature["inputs"], model.names)
    details = interpreter.get_signature_runner(key).get_input_details()
    return key, names, [details[name]["dtype"] for name in names]


def _in_order(found: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return the names in a file in the model's order: its own names, or numbered ones."""
    return list(names) if set(found) == set(names) else sorted(found, key=_number)


def _invoke(interpreter: Any, model: Model, arrays: Sequence[Array]) -> list[Array]:
    key, names, _ = _signature(interpreter, model)
    runner = interpreter.get_signature_runner(key)
    taken, given = runner.get_input_details(), runner.get_output_details()
    feed = {name: _stored(array, taken[name]) for name, array in zip(names, arrays, strict=True)}
    found = runner(**feed)
    return [_real(found[name], given[name]) for name in _in_order(list(found), model.outputs)]


def _stored(array: Array, details: dict[str, Any]) -> Array:
    """Return an input as the file takes it: quantized, where it is."""
    scale, zero = details["quantization"]
    dtype = np.dtype(details["dtype"])
    if not scale:
        return array.astype(dtype)
    limits = np.iinfo(dtype)
    steps = np.clip(np.round(array / scale) + zero, limits.min, limits.max)
    return np.asarray(steps, dtype)


def _real(array: Array, details: dict[str, Any]) -> Array:
    scale, zero = details["quantization"]
    return np.asarray((array.astype(np.float32) - zero) * scale if scale else array)
