"""What a network answers, one sample at a time and on one thread, and how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Call = Callable[[Any], Any]
"""Takes a batch of one sample, and returns its outputs."""
_BLOCKS = {"BSR 4x1": (4, 1), "BSR 4x4": (4, 4)}
_FAST = 10
"""The percentile of all calls that counts as the latency: other programs only add to it."""


@dataclass(frozen=True)
class Answers:
    """What came out.

    Attributes:
        outputs: A row for each sample.
        milliseconds: The latency of one call.

    """

    outputs: Any
    milliseconds: float


def answers(call: Call, samples: Any) -> Answers:
    """Return what a network answers to each sample."""
    for sample in samples[:5]:
        call(sample[None])
    outputs, seconds = [], []
    for sample in samples:
        begin = time.perf_counter()
        found = call(sample[None])
        seconds.append(time.perf_counter() - begin)
        outputs.append(np.asarray(found)[0])
    return Answers(np.stack(outputs), float(np.percentile(seconds, _FAST)) * 1000)


def litert(path: Path) -> Call:
    """Return a .tflite file, run by LiteRT with XNNPACK."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()

    scale, zero = given["quantization"]

    def call(sample: Any) -> Any:
        if given["dtype"] == np.int8:
            sample = np.clip(np.round(sample / scale) + zero, -128, 127).astype(np.int8)
        interpreter.set_tensor(given["index"], sample)
        interpreter.invoke()
        return interpreter.get_tensor(found["index"])

    return call


def onnx(path: Path) -> Call:
    """Return an .onnx file, run by onnxruntime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda sample: session.run(None, {name: sample})[0]


def openvino(path: Path) -> Call:
    """Return an .xml file, run by OpenVINO."""
    import openvino as ov

    compiled = ov.compile_model(str(path), "CPU", {"INFERENCE_NUM_THREADS": 1})
    return lambda sample: compiled([sample])[0]


def keras(model: Any) -> Call:
    """Return a Keras model, run as its exporters see it: compiled to a graph."""
    import tensorflow as tf

    graph = tf.function(lambda sample: model(sample, training=False))
    return lambda sample: graph(sample).numpy()


def torch(model: Any) -> Call:
    """Return a PyTorch module."""
    import torch

    def call(sample: Any) -> Any:
        with torch.inference_mode():
            return model(torch.from_numpy(sample)).numpy()

    return call


def in_layout(model: Any, layout: str) -> Any:
    """Return a copy of a module whose linear layers multiply by sparse weights.

    Args:
        model: The module.
        layout: "CSR", "BSR 4x1" or "BSR 4x4"; a matrix that has no whole blocks is CSR.

    Raises:
        ValueError: It has no linear layer.

    """
    import copy

    import torch

    class Sparse(torch.nn.Module):
        def __init__(self, linear: Any) -> None:
            super().__init__()
            weight = linear.weight.detach()
            block = _BLOCKS.get(layout)
            whole = block and not any(n % b for n, b in zip(weight.shape, block, strict=True))
            self.weight = weight.to_sparse_bsr(block) if whole else weight.to_sparse_csr()
            self.bias = linear.bias.detach()[:, None]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (self.weight @ x.T + self.bias).T

    found = copy.deepcopy(model)
    linear = [n for n, m in found.named_modules() if isinstance(m, torch.nn.Linear)]
    if not linear:
        raise ValueError("no linear layer")
    for name in linear:
        found.set_submodule(name, Sparse(found.get_submodule(name)))
    return found
