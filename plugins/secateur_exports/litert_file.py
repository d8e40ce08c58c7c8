"""The constants of a .tflite file, read from its bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from secateur import StoredTensor

_DTYPES = {"FLOAT32": "float32", "FLOAT16": "float16", "FLOAT64": "float64", "INT8": "int8"}
_DTYPES |= {"UINT8": "uint8", "INT16": "int16"}


def stored_tensors(path: Path) -> Iterator[StoredTensor]:
    """Yield the constants of a file that can hold weights: floats and small integers.

    Args:
        path: The file.

    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(path.read_bytes()))
    known = {getattr(schema.TensorType, name): dtype for name, dtype in _DTYPES.items()}
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            data = model.buffers[tensor.buffer].data
            if data is not None and len(data) and tensor.type in known:
                values = np.frombuffer(bytes(data), known[tensor.type]).reshape(tensor.shape)
                yield _stored(tensor.name.decode(), values, tensor.quantization)


def _stored(name: str, values: Any, quantization: Any) -> StoredTensor:
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return StoredTensor(name, values)
    axis = quantization.quantizedDimension
    zeros = np.asarray(quantization.zeroPoint)
    return StoredTensor(name, values, zeros, np.asarray(quantization.scale), axis)
