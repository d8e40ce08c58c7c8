"""A PyTorch module, or an exported program, as the exporters see it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from secateur import ExportError
from secateur.layout import Array
from secateur_exports.models import Model


class TorchModel(Model):
    """A module, called in evaluation mode, or an `ExportedProgram`.

    Args:
        model: The module or the program.
        inputs: What a user gave: an array or tensor, a tuple of them for positional arguments,
            or a dict for keyword arguments.

    Raises:
        ExportError: Inputs are needed, and there are none.

    """

    def __init__(self, model: Any, inputs: Any) -> None:
        self.program = model if isinstance(model, torch.export.ExportedProgram) else None
        self.module = self.program.module() if self.program is not None else model
        if inputs is None and self.program is not None and self.program.example_inputs:
            args, kwargs = self.program.example_inputs
            inputs = dict(kwargs) if kwargs and not args else tuple(args)
        if inputs is None:
            raise ExportError(
                "a PyTorch module does not say what it takes: give inputs=, such as "
                "torch.randn(1, 1, 28, 28), whose shapes become those of the file"
            )
        self.keywords = list(inputs) if isinstance(inputs, Mapping) else []
        self.names = self.keywords or [f"input_{i}" for i in range(len(_positional(inputs)))]
        self.inputs = self.flat(inputs)
        self.batch = len(self.inputs[0]) if self.inputs and self.inputs[0].ndim else None

    def flat(self, given: Any) -> list[Array]:
        if self.keywords:
            if not isinstance(given, Mapping) or set(given) != set(self.keywords):
                raise ExportError(f"each batch is a dict of {', '.join(self.keywords)}")
            values = [given[name] for name in self.keywords]
        else:
            values = _positional(given)
        if len(values) != len(self.names):
            raise ExportError(f"{len(values)} inputs were given, and {len(self.names)} are needed")
        return [_array(value) for value in values]

    def tensors(self, arrays: Sequence[Array]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return a batch as positional and keyword arguments."""
        device, dtype = self._place()
        made = []
        for array in arrays:
            tensor = torch.from_numpy(np.array(array)).to(device)
            made.append(tensor.to(dtype) if tensor.is_floating_point() else tensor)
        if self.keywords:
            return (), dict(zip(self.keywords, made, strict=True))
        return tuple(made), {}

    def _place(self) -> tuple[Any, Any]:
        tensors = self.program.state_dict.values() if self.program else self.module.parameters()
        for tensor in tensors:
            if tensor.is_floating_point():
                return tensor.device, tensor.dtype
        return torch.device("cpu"), torch.float32

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        args, kwargs = self.tensors(arrays)
        with torch.no_grad(), self.unchanged():
            outputs = self.module(*args, **kwargs)
        flat, _ = torch.utils._pytree.tree_flatten_with_path(outputs)
        self.outputs = ["_".join(map(_key, path)) for path, _ in flat]
        return leaves(outputs)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        if self.program is not None:
            yield
            return
        with evaluating(self.module):
            yield


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Put every module into evaluation mode; afterwards each has the mode that it had.

    Args:
        module: The module.

    """
    modes = [(each, each.training) for each in module.modules()]
    try:
        for each, _ in modes:
            each.training = False
        yield
    finally:
        for each, training in modes:
            each.training = training


def leaves(outputs: Any) -> list[Array]:
    """Return every tensor of an output, in the order in which PyTorch flattens it.

    Args:
        outputs: What a module returned.

    """
    flat, _ = torch.utils._pytree.tree_flatten(outputs)
    return [_array(each) for each in flat if isinstance(each, torch.Tensor)]


def _key(step: Any) -> str:
    """Return one step of the path to an output, as litert-torch names it."""
    return str(getattr(step, "key", getattr(step, "idx", getattr(step, "name", step))))


def _positional(given: Any) -> list[Any]:
    if isinstance(given, Mapping):
        return list(given.values())
    return list(given) if isinstance(given, list | tuple) else [given]


def _array(value: Any) -> Array:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
        return np.asarray(value.numpy())
    return np.asarray(value)
