"""A program of torch.export as a model: its file is read without running code, and never pruned."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from secateur import ModelError
from secateur.adapter import Adapter, Binding, StatePart, StateTensor, Weight, WeightSpec
from secateur.layout import Array

_KINDS = {2: "dense", 3: "conv", 4: "conv", 5: "conv"}
_TARGET = re.compile(r"torch\.ops\.(aten|higher_order|prims)\.\w+(\.\w+)?|_operator\.\w+|math\.\w+")
"""What a node of a graph may call: operators, and no other function of Python."""
_EXPRESSION = re.compile(r"(?!.*__)[\w\s+\-*/(),<>=!&|~]*")
"""What the expression of a shape may hold: it is evaluated when the file is read."""
_LARGEST_GRAPH = 1 << 28


class ProgramAdapter(Adapter):
    """Binds an `ExportedProgram` for reading: a module is pruned before it is exported."""

    name = "torch-program"

    def matches(self, model: object) -> bool:
        torch: Any = sys.modules.get("torch")
        program = getattr(getattr(torch, "export", None), "ExportedProgram", None)
        return program is not None and isinstance(model, program)

    @property
    def suffixes(self) -> tuple[str, ...]:
        return (".pt2",)

    def read_file(self, path: Path) -> Any:
        """Return the program in a file.

        Args:
            path: The file.

        Raises:
            ModelError: It is damaged, or reading it could run code from it.

        """
        try:
            import torch
        except ModuleNotFoundError as error:
            raise ModelError(
                f'{path}: reading it needs PyTorch: pip install "secateur[torch]" ({error})'
            ) from error
        from secateur_exports.quiet import quiet

        try:
            check_program_file(path)
            with quiet():
                return torch.export.load(path)
        except (ModelError, OSError):
            raise
        except Exception as error:  # whatever the parts of torch that read it raise
            why = " ".join(str(error).split())[:200]
            raise ModelError(f"{path}: no program of torch.export: {why}") from error

    def bind(self, model: Any) -> Binding:
        return ProgramBinding(model)


class ProgramBinding(Binding):
    """The weights of a program, for reading.

    Args:
        program: The program.

    """

    adapter = ProgramAdapter.name

    def __init__(self, program: Any) -> None:
        weights = {
            name: ProgramWeight(name, tensor)
            for name, tensor in program.named_parameters()
            if tensor.ndim in _KINDS
        }
        self.weights = list(weights.values())
        self._specs = {name: weight.spec for name, weight in weights.items()}
        self.skipped = []
        self._program = program

    def tensors(self) -> list[StateTensor]:
        """Return the parameters and buffers of the program, for reading: tied ones once."""
        names: dict[tuple[object, ...], list[str]] = {}
        held: dict[tuple[object, ...], Any] = {}
        for name, tensor in self._program.state_dict.items():
            place = tensor.data_ptr() if tensor.numel() else name
            key = (place, tensor.dtype, tensor.shape, tensor.stride())
            names.setdefault(key, []).append(name)
            held.setdefault(key, tensor)
        return [_state(names[key], tensor, self._specs) for key, tensor in held.items()]

    def apply(self, masks: Mapping[str, Array]) -> None:
        """Refuse masks.

        Raises:
            ModelError: Always.

        """
        raise ModelError("this is an exported program: prune the module before torch.export.export")

    def enforce(self) -> None:
        """Do nothing: no mask was ever applied."""

    def release(self) -> None:
        """Do nothing: no mask was ever applied."""


class ProgramWeight(Weight):
    """A parameter of a program, canonical as PyTorch stores it.

    Args:
        name: Its name in the program.
        tensor: Its values.

    """

    def __init__(self, name: str, tensor: Any) -> None:
        self._tensor = tensor
        layer, _, last = name.rpartition(".")
        role = "kernel" if last == "weight" else last
        full = f"{layer}:{role}" if layer else name
        dtype = str(tensor.dtype).removeprefix("torch.")
        shape = tuple(tensor.shape)
        self.spec = WeightSpec(full, _KINDS[tensor.ndim], "kernel", shape, dtype, layer)

    def read(self) -> Array:
        from secateur_exports.torch_model import leaves

        return leaves(self._tensor)[0]


def _state(names: Sequence[str], tensor: Any, specs: Mapping[str, WeightSpec]) -> StateTensor:
    found = [specs[name] for name in names if name in specs][:1]
    return StateTensor(
        names[0],
        tuple(tensor.shape),
        str(tensor.dtype).removeprefix("torch."),
        partial(_exact, tensor),
        _refuse,
        tuple(StatePart(spec.name, spec.kind) for spec in found),
        tuple(names[1:]),
        writable=False,
    )


def _exact(tensor: Any) -> Array:
    """Return the values of a tensor, bit for bit; bfloat16 by the dtype of ml-dtypes."""
    import torch

    values = tensor.detach().cpu().contiguous()
    if values.dtype != torch.bfloat16:
        return np.asarray(values.numpy())
    import ml_dtypes

    return np.asarray(values.view(torch.int16).numpy().view(ml_dtypes.bfloat16))


def _refuse(values: Array) -> NoReturn:
    raise ModelError("an exported program is not filled; fill the module that it is made of")


def check_program_file(path: Path) -> None:
    """Refuse a .pt2 file that could run code when it is loaded or run.

    A program is JSON and raw bytes; but it may hold pickles, call any function of torch by its
    name, and hold expressions of shapes that SymPy evaluates.

    Args:
        path: The file.

    Raises:
        ModelError: It holds one of these.

    """
    import torch

    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name == "version" for name in names):
            raise ModelError(f"{path}: written by an old PyTorch, as pickles; export it again")
        for name in names:
            if name.endswith(".json"):
                if archive.getinfo(name).file_size > _LARGEST_GRAPH:
                    raise ModelError(f"{path}: {name} is larger than any graph")
                for problem in _problems(json.loads(archive.read(name))):
                    raise ModelError(f"{path}: refused, since {problem} in {name}")
            elif "sample_inputs" in name:
                with archive.open(name) as file:
                    torch.load(file, weights_only=True)
            elif name.endswith((".so", ".py", ".pkl")) or "custom_obj" in name:
                raise ModelError(f"{path}: refused, since it holds code or objects: {name:.80}")


def _problems(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _problems(each)
    elif isinstance(value, dict):
        for key, each in value.items():
            if key == "use_pickle" and each:
                yield "a tensor is pickled"
            elif key == "target" and isinstance(each, str) and not _is_operator(each, value):
                yield f"a node calls {each[:80]!r}"
            elif key == "expr_str" and not _EXPRESSION.fullmatch(str(each)):
                yield f"a shape is {str(each)[:80]!r}"
            else:
                yield from _problems(each)


def _is_operator(target: str, node: dict[str, Any]) -> bool:
    """Return whether the target of a node is an operator; other targets are plain names."""
    return "inputs" not in node or bool(_TARGET.fullmatch(target))
