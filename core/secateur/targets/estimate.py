"""What a model costs on a target, by the target's own tool."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from secateur.adapter import Binding
from secateur.errors import ExportError, TargetError, listed
from secateur.hooks.at_work import run_exporter
from secateur.hooks.dispatch import bind
from secateur.hooks.exporter import source_of
from secateur.tables import Column, Paragraph, Printed, Table, View
from secateur.targets.load import load

TFLITE = ".tflite"
_EXPORTER = "litert"
_TOOLS = {
    "ethos-u55": ("ethos-u-vela", "ethosu", "vela"),
    "ethos-u85": ("ethos-u-vela", "ethosu", "vela"),
    "fpga": ("da4ml", "da4ml", "fpga"),
}
"""By target: the package of its tool, the module of it, and the extra that installs it."""


@dataclass(frozen=True, repr=False)
class Estimate(Printed):
    """What a tool estimates; prints as a table.

    Attributes:
        target: The name of the target.
        tool: The name of the tool's package.
        version: Its version.
        configuration: What it estimates for, in its own words.
        figures: The figures, by what they count; the most important first.
        notes: What the figures do not hold.

    Example:
        >>> Estimate("fpga", "da4ml", "0.6.0", "8 bits", {"LUTs": 367})
        <Estimate for fpga by da4ml 0.6.0: LUTs 367>

    """

    target: str
    tool: str
    version: str
    configuration: str
    figures: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as plain values, for JSON.

        Example:
            >>> Estimate("fpga", "da4ml", "0.6.0", "8 bits", {"LUTs": 367}).to_dict()["figures"]
            {'LUTs': 367}

        """
        return {
            "target": self.target,
            "tool": self.tool,
            "version": self.version,
            "configuration": self.configuration,
            "figures": dict(self.figures),
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        name, value = next(iter(self.figures.items()))
        return f"<Estimate for {self.target} by {self.tool} {self.version}: {name} {value:,}>"

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed of the estimate.

        Args:
            fold: Makes no difference here.
            notes: More that the reader should know.

        """
        columns = (Column(f"estimate for {self.target}", long="shorten"), Column("", right=True))
        rows = [(name, f"{value:,}") for name, value in self.figures.items()]
        words = f"these are the tool's own estimates: {self.tool} {self.version}"
        parts: View = (
            Table(columns, rows),
            Paragraph([f"{words}, {self.configuration}"]),
            Paragraph([f"note: {note}" for note in (*self.notes, *notes)], "note"),
        )
        return [part for part in parts if isinstance(part, Table) or part.lines]


def estimate(
    target: str, model: Any, *, configuration: str | None = None, inputs: Any = None
) -> Estimate:
    """Return what a model costs on a target, by the estimates of the target's own tool.

    Args:
        target: ``ethos-u55`` or ``ethos-u85``, by Arm's Vela; or ``fpga``, by da4ml.
        model: Any model that `plan` takes.  For the first two it is exported as an int8
            ``.tflite`` file, for which its exporter must be installed; or the path of such a file.
        configuration: The variant of an Ethos-U that it is estimated for, such as
            ``ethos-u55-256``; 128 multipliers for the U55 and 256 for the U85 without it.
        inputs: What the model is called with, for its export: a PyTorch module needs it, such as
            ``torch.randn(1, 1, 28, 28)``.

    Returns:
        The figures, with the tool and its version.

    Raises:
        TargetError: There is no estimate for this target, its tool is not installed, or it
            refuses the model.
        ModelError: The model cannot be bound.
        ExportError: The model cannot be exported.
        PluginError: The exporter is not installed.

    Example:
        >>> estimate("onnxruntime", {})
        Traceback (most recent call last):
        secateur.errors.TargetError: nothing estimates for onnxruntime; there are estimates ...

    """
    tool = _tool_of(target)
    if isinstance(model, (str, os.PathLike)):
        return _of_file(target, tool, Path(model), configuration)
    return of_bound(target, model, bind(model), configuration, inputs)


def of_bound(
    target: str,
    model: Any,
    binding: Binding,
    configuration: str | None = None,
    inputs: Any = None,
) -> Estimate:
    """Return what a model costs that is bound already, as `estimate` does.

    Args:
        target: The name of a target.
        model: The model.
        binding: The model, bound.
        configuration: The variant of an Ethos-U.
        inputs: What the model is called with, for its export.

    Raises:
        TargetError: As `estimate`.
        ExportError: As `estimate`.
        PluginError: As `estimate`.

    """
    tool = _tool_of(target)
    if target != "fpga":
        with TemporaryDirectory() as folder:
            path = Path(folder, f"model{TFLITE}")
            _export(model, binding, path, inputs)
            found = _of_file(target, tool, path, configuration)
        calibrated = "random or example inputs" if inputs is None else "the given inputs"
        return replace(found, notes=(*found.notes, f"exported to int8 on {calibrated}"))
    if configuration is not None:
        raise TargetError("fpga has no configurations; leave --configuration out")
    from secateur.targets.luts import luts

    figures, notes = luts(load(target), binding.weights)
    words = "each matrix unrolled once, weights rounded to 8 bits, inputs of 8 bits"
    return Estimate(target, tool, version(tool), words, figures, notes)


def _export(model: Any, binding: Binding, path: Path, inputs: Any) -> None:
    """Write a model as an int8 file, and compare nothing: its costs do not depend on its values."""
    source = source_of(model, binding, "int8", inputs)
    if reason := run_exporter(_EXPORTER, path, lambda each: each.refusal(source)):
        raise ExportError(f"to={_EXPORTER!r}: {reason}")
    run_exporter(_EXPORTER, path, lambda each: each.export(source, path))


def is_estimated_from_file(path: Path) -> bool:
    """Return whether a file is one that only an estimate reads."""
    return path.suffix == TFLITE


def _of_file(target: str, tool: str, path: Path, configuration: str | None) -> Estimate:
    if target == "fpga" or not is_estimated_from_file(path):
        raise TargetError(
            f"{path}: pass the model itself"
            if target == "fpga"
            else f"{path}: no {TFLITE} file; {_how_to_export(str(path))}"
        )
    from secateur.targets.vela import vela

    found = vela(target, path, configuration)
    return Estimate(target, tool, version(tool), found.configuration, found.figures, found.notes)


def _tool_of(target: str) -> str:
    load(target)
    if target not in _TOOLS:
        raise TargetError(
            f"nothing estimates for {target}; there are estimates for: {listed(_TOOLS)}"
        )
    package, module, extra = _TOOLS[target]
    if find_spec(module) is None:
        raise TargetError(f'estimates for {target} need {package}: pip install "secateur[{extra}]"')
    return package


def _how_to_export(model: str) -> str:
    return f"secateur export {model} --to litert --quantize int8 -o model.tflite"
