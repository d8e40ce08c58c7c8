"""Writing a model in another form, verified before the file gets its name."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.adapter import Binding
from secateur.errors import ExportError, nearest, shown
from secateur.exports.exported import Exported
from secateur.exports.verify import check_outputs, check_zeros
from secateur.files import check_absent, check_output
from secateur.hooks.at_work import exporter, run_exporter
from secateur.hooks.dispatch import bind
from secateur.hooks.exporter import QUANTIZATIONS, ExportSource, Reading, source_of
from secateur.layout import Array


def export(
    model: Any,
    path: str | Path,
    *,
    to: str,
    quantize: str = "none",
    inputs: Any = None,
    calibration: Any = None,
    masks: Mapping[str, Array] | None = None,
    overwrite: bool = False,
) -> Exported:
    """Write a model in another form; load, run and check the file before it gets its name.

    The live weights are written, so a model under pruning can be exported at any time, and
    nothing of it changes.

    Args:
        model: A model that `secateur.plan` takes.
        path: The file to write.
        to: The name of an exporter: the package brings "litert", "onnx", "openvino" and
            "torch-export" for models, and "csv" and "markdown" for a table of weights.
        quantize: How the weights are stored: "none", "float16", "dynamic" (int8 weights) or
            "int8" (int8 weights and activations).
        inputs: What the model is called with to compare it with the file: an array, a tuple of
            them, or a dict by name. Without it, seeded random numbers, which needs a model that
            knows the shapes of its inputs, as Keras models do.
        calibration: Inputs for the ranges of the activations, for "int8": one batch as in
            `inputs`, or a list of them. Without it, `inputs`.
        masks: Which elements a table counts as kept, such as ``report.masks``. Without them,
            those that are not zero.
        overwrite: Whether a file at `path` may be replaced.

    Returns:
        The file, its size, how far its outputs differ, and the sparsity of each weight in it.

    Raises:
        ExportError: This model cannot be written in this form, or the file does not do what the
            model does, or a zero is missing in it; nothing is written.
        PluginError: There is no exporter of that name, or it failed.
        ModelError: The model cannot be bound.
        OSError: The file exists, or cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     exported = export({"fc": np.eye(2)}, f"{folder}/weights.md", to="markdown")
        ...     print(exported.path.read_text().splitlines()[2])
        | fc | 2x2 | 4 | 2 | 0.5000 |

    """
    check_wanted(to, Path(path), quantize, overwrite)
    wanted = Wanted(to, quantize, inputs, calibration, overwrite)
    return export_bound(model, bind(model), Path(path), wanted, masks)


@dataclass(frozen=True)
class Wanted:
    """The arguments of an export: see `export` for each."""

    to: str
    quantize: str = "none"
    inputs: Any = None
    calibration: Any = None
    overwrite: bool = False


def export_bound(
    model: Any,
    binding: Binding,
    path: Path,
    wanted: Wanted,
    masks: Mapping[str, Array] | None = None,
) -> Exported:
    """Write a model that is bound already, as `export` does.

    Args:
        model: The model.
        binding: The model, bound.
        path: The file to write.
        wanted: What is asked for.
        masks: Which elements a table counts as kept.

    Raises:
        ExportError: As `export`.
        PluginError: As `export`.
        OSError: As `export`.

    """
    source = source_of(model, binding, wanted.quantize, wanted.inputs, wanted.calibration, masks)
    to = wanted.to
    if reason := run_exporter(to, path, lambda each: each.refusal(source)):
        raise ExportError(f"to={to!r}: {reason}")
    with _folder_beside(path) as folder:
        target = folder / path.name
        reading = run_exporter(to, path, lambda each: each.export(source, target))
        if not target.is_file():
            raise ExportError(f"to={to!r}: the exporter wrote no file {path.name}")
        exported = _verified(source, to, path, folder, reading)
        _move(folder, path, wanted.overwrite)
    return exported


def check_wanted(to: str, path: Path, quantize: str, overwrite: bool) -> None:
    """Check all that can be checked before the model is read.

    Args:
        to: The name of the exporter.
        path: The file to write.
        quantize: The kind of quantization.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        PluginError: There is no such exporter.
        ExportError: The exporter does not know this quantization.
        OSError: The file exists, or cannot be written.

    """
    found = exporter(to)
    if quantize not in QUANTIZATIONS:
        raise ExportError(f"quantize={shown(quantize)}: {nearest(str(quantize), QUANTIZATIONS)}")
    if quantize not in found.quantizations:
        known = " or ".join(f'"{each}"' for each in found.quantizations)
        why = f": {found.refused[quantize]}" if quantize in found.refused else ""
        raise ExportError(f'to="{found.kind}" takes quantize={known} only, not {quantize!r}{why}')
    check_output(path)
    check_absent(path, overwrite)


def _verified(
    source: ExportSource, to: str, path: Path, folder: Path, reading: Reading | None
) -> Exported:
    files = sorted(each for each in folder.iterdir())
    files.sort(key=lambda each: each.name != path.name)
    size = sum(each.stat().st_size for each in files)
    names = tuple(path.with_name(each.name) for each in files)
    if reading is None:
        return Exported(path, names, size, to, source.quantize)
    try:
        largest, relative, tolerance = check_outputs(source, reading)
        weights = check_zeros(source, reading)
    except ExportError as error:
        raise ExportError(f"{path}: not written: {error}") from error
    return Exported(
        path,
        names,
        size,
        to,
        source.quantize,
        largest,
        relative,
        tolerance,
        weights,
        reading.runtime,
        reading.version,
        reading.notes,
    )


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """Make a folder next to a file, on the same disk, so that a file in it can be renamed."""
    beside = Path(os.path.realpath(path)).parent
    folder = beside / f".{path.name[:40]}.{secrets.token_hex(8)}.tmp"
    folder.mkdir()
    try:
        yield folder
    except OSError as error:
        if error.filename and str(folder) in str(error.filename):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _move(folder: Path, path: Path, overwrite: bool) -> None:
    """Move what was written to its place, the file itself last."""
    final = Path(os.path.realpath(path))
    others = sorted(each for each in folder.iterdir() if each.name != path.name)
    for each in others:
        if (final.parent / each.name).exists() and not overwrite:
            raise FileExistsError(
                errno.EEXIST,
                f"{each.name}, which belongs to it, is there already; overwrite=True "
                "(--overwrite) replaces it",
                str(path),
            )
    for each in others:
        each.replace(final.parent / each.name)
    (folder / path.name).replace(final)
