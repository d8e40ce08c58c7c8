"""The initializers of an ONNX file, which the package onnx reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.external_data_helper import uses_external_data

from secateur import atomically
from secateur.adapter import Checkpoint, Skipped, Tensor
from secateur.errors import ModelError, in_words
from secateur.layout import Array
from secateur_onnx.external import external_bytes
from secateur_onnx.graph import weights_of

_NOTE = "secateur_policy"
_LARGEST = (1 << 31) - 1
"""The most bytes that one protobuf message may have."""
_TYPES = {
    onnx.TensorProto.FLOAT: "float32",
    onnx.TensorProto.FLOAT16: "float16",
    onnx.TensorProto.DOUBLE: "float64",
    onnx.TensorProto.BFLOAT16: "bfloat16",
}


class OnnxCheckpoint(Checkpoint):
    """An .onnx file; its weights have the order of the nodes that use them.

    Values that lie in another file are read from the folder of the model, and nowhere else.
    """

    adapter = "onnx"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._model = onnx.load(path, load_external_data=False)
        except Exception as error:  # protobuf's errors have no base of their own
            raise ModelError(f"{path}: not a whole ONNX file: {in_words(error, 200)}") from error
        if not (self._model.ir_version and self._model.HasField("graph")):
            why = "it has no graph" if path.stat().st_size else "it is empty"
            raise ModelError(f"{path}: not a whole ONNX file: {why}")
        graph = self._model.graph
        self._tensors: dict[str, Any] = {}
        for tensor in graph.initializer:
            if tensor.name in self._tensors or any(length < 0 for length in tensor.dims):
                raise ModelError(f"{path}: {tensor.name!r:.80} is declared twice, or has no shape")
            _check_size(tensor, path)
            self._tensors[tensor.name] = tensor
        self.tensors = {
            name: Tensor(name, _dtype(tensor.data_type), tuple(tensor.dims))
            for name, tensor in self._tensors.items()
        }
        self.weights, left = weights_of(graph, self.tensors)
        self.skipped = [*left, *_constants(graph)]
        notes = {each.key: each.value for each in self._model.metadata_props}
        self.noted_policy = notes.get(_NOTE)
        if any(uses_external_data(tensor) for tensor in self._tensors.values()):
            self.notes = ["some values lie in other files; a pruned copy holds all of them itself"]

    def read(self, name: str) -> Array:
        tensor = self._tensors[name]
        try:
            if uses_external_data(tensor):
                dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).newbyteorder("<")
                content = np.frombuffer(external_bytes(tensor, self.path), dtype)
                return content.reshape(tuple(tensor.dims))
            values: Array = numpy_helper.to_array(tensor)
        except ModelError:
            raise
        except (ValueError, TypeError, KeyError, OSError) as error:
            raise ModelError(
                f"{self.path}: {name:.80} cannot be read: {in_words(error, 200)}"
            ) from error
        return values

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        """Write the model with other values in some initializers, and the policy's fingerprint."""
        copy = onnx.ModelProto()
        copy.CopyFrom(self._model)
        for tensor in copy.graph.initializer:
            if tensor.name in changed:
                _set_values(tensor, _little_endian(changed[tensor.name]))
            elif uses_external_data(tensor):
                _set_values(tensor, external_bytes(tensor, self.path))
        kept = [each for each in copy.metadata_props if each.key != _NOTE]
        del copy.metadata_props[:]
        copy.metadata_props.extend(
            [*kept, onnx.StringStringEntryProto(key=_NOTE, value=fingerprint)]
        )
        if copy.ByteSize() > _LARGEST:
            raise ModelError(
                f"{self.path}: more than 2 GiB with its external data, which one ONNX file cannot "
                "hold; prune the model before it is exported"
            )
        with atomically(path) as file:
            file.write(copy.SerializeToString())


def _check_size(tensor: Any, path: Path) -> None:
    """Check that a tensor with raw bytes has as many as its shape takes."""
    if not tensor.HasField("raw_data") or tensor.data_type not in _TYPES:
        return
    wanted = prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    if len(tensor.raw_data) != wanted:
        raise ModelError(
            f"{path}: {tensor.name:.80} cannot be read: it holds {len(tensor.raw_data):,} bytes, "
            f"and its shape takes {wanted:,}"
        )


def _constants(graph: Any) -> Iterator[Skipped]:
    """Yield what nodes hold themselves and might be kernels; it is no tensor of the file."""
    for node in graph.node:
        for attribute in node.attribute:
            held = attribute.t
            if node.op_type == "Constant" and attribute.name == "value" and len(held.dims) > 1:
                described = f"{_dtype(held.data_type)} of rank {len(held.dims)}"
                reason = f"{described}: in a Constant node; export it as an initializer"
                yield Skipped(node.output[0], reason)


def _dtype(number: int) -> str:
    """Return the name of a dtype in NumPy; the format's own where it is no float."""
    if number in _TYPES:
        return _TYPES[number]
    known = {value: name.lower() for name, value in onnx.TensorProto.DataType.items()}
    return str(known.get(number, f"type {number}"))


def _little_endian(values: Array) -> bytes:
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes()


def _set_values(tensor: Any, content: bytes) -> None:
    """Give a tensor its values as raw bytes."""
    for field in ("float_data", "int32_data", "double_data", "int64_data", "uint64_data",
                  "string_data", "external_data"):  # fmt: skip
        tensor.ClearField(field)
    tensor.ClearField("data_location")
    tensor.raw_data = content
