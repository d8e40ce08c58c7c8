"""The outcome of an export: a value that prints as a small table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.tables import Column, Paragraph, Printed, Table, View, format_sparsity


@dataclass(frozen=True)
class ExportedWeight:
    """One weight of an exported model.

    Attributes:
        name: Its name in the plan.
        sparsity: The fraction of its values that are zero in the model.
        exported: The fraction that is exactly zero in the file; None where the weight could not
            be found there, since it was joined with others or computed away.
        tensors: The names of the tensors of the file that hold it.
        dtypes: The dtypes of these tensors; a runtime may keep some weights of a quantized model
            as floats.

    Example:
        >>> ExportedWeight("fc:kernel", 0.5, None).checked
        False

    """

    name: str
    sparsity: float
    exported: float | None
    tensors: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()

    @property
    def checked(self) -> bool:
        """Whether the weight was found in the file, and its zeros with it."""
        return self.exported is not None


_COLUMNS = (
    Column("weight", long="shorten"),
    Column("sparsity", right=True),
    Column("in the file", right=True),
    Column("stored as", drop=1),
)


@dataclass(frozen=True)
class Exported(Printed):
    """A file that was written, loaded and run.

    Attributes:
        path: The file.
        files: Every file that belongs to it, with `path` first.
        bytes: The size of all of them.
        to: The name of the exporter.
        quantize: The kind of quantization.
        max_difference: The largest difference between an output of the file and the same output
            of the model; None for a form that no runtime runs.
        relative_difference: The root mean square of the differences, over that of the model's
            outputs.
        tolerance: The largest relative difference that is taken.
        weights: Each prunable weight, with its sparsity before and after; empty for a form that
            no runtime runs.
        runtime: The runtime that ran it.
        version: The version of that runtime.
        notes: What a user should know of the file.

    Example:
        >>> from pathlib import Path
        >>> Exported(Path("w.csv"), (Path("w.csv"),), 80, "csv").to_dict()["bytes"]
        80

    """

    path: Path
    files: tuple[Path, ...]
    bytes: int
    to: str
    quantize: str = "none"
    max_difference: float | None = None
    relative_difference: float | None = None
    tolerance: float | None = None
    weights: tuple[ExportedWeight, ...] = ()
    runtime: str | None = None
    version: str | None = None
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "path": str(self.path),
            "files": [str(path) for path in self.files],
            "bytes": self.bytes,
            "to": self.to,
            "quantize": self.quantize,
            "max_difference": self.max_difference,
            "relative_difference": self.relative_difference,
            "tolerance": self.tolerance,
            "weights": [
                {
                    "name": weight.name,
                    "sparsity": weight.sparsity,
                    "exported": weight.exported,
                    "tensors": list(weight.tensors),
                    "dtypes": list(weight.dtypes),
                }
                for weight in self.weights
            ],
            "runtime": self.runtime,
            "version": self.version,
            "notes": list(self.notes),
        }

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed.

        Args:
            fold: Not used: each weight has its row.
            notes: More lines for the notes.

        """
        said = Paragraph([f"note: {note}" for note in (*self.notes, *notes)], "note")
        result = Paragraph([*self._run_line(), *self._found_line(), self._file_line()], "result")
        if not self.weights:
            return [said, result]
        return [Table(_COLUMNS, self._rows()), said, result]

    def _rows(self) -> list[list[str]]:
        return [
            [
                weight.name,
                format_sparsity(weight.sparsity),
                "not found" if weight.exported is None else format_sparsity(weight.exported),
                ", ".join(weight.dtypes) or "-",
            ]
            for weight in self.weights
        ]

    def _file_line(self) -> str:
        kind = self.to if self.quantize == "none" else f"{self.to} {self.quantize}"
        files = f" in {len(self.files)} files" if len(self.files) > 1 else ""
        return f"{self.path}: {kind}, {self.bytes:,} bytes{files}"

    def _run_line(self) -> list[str]:
        if self.runtime is None:
            return []
        relative, most = f"{self.relative_difference:.2g}", f"{self.tolerance:g}"
        largest = f"largest difference {self.max_difference:.2g}"
        return [
            f"run by {self.runtime} {self.version}",
            f"{largest}, relative {relative} (at most {most})",
        ]

    def _found_line(self) -> list[str]:
        if not self.weights:
            return []
        missing = sum(not weight.checked for weight in self.weights)
        line = f"{len(self.weights) - missing} of {len(self.weights)} weights keep every zero"
        if missing:
            line += f"; {missing} not found: the converter joined them or computed them away"
        return [line]
