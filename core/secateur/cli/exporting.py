"""``secateur export``."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from secateur.cli.app import Json, Kind, Model, app
from secateur.cli.model_files import open_model
from secateur.cli.output import progress, show, show_json
from secateur.errors import ExportError
from secateur.exports.export import Wanted, check_wanted, export_bound
from secateur.files import check_input, check_outputs


@app.command("export", epilog="Example: secateur export pruned.npz --to markdown -o weights.md")
def export(
    model: Model,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    to: Annotated[
        str, typer.Option(help="litert, onnx, openvino, torch-export, csv, markdown, ...")
    ],
    quantize: Annotated[str, typer.Option(help="none, float16, dynamic or int8.")] = "none",
    inputs: Annotated[
        Path | None,
        typer.Option(help="An .npz of inputs, to compare the file with the model on."),
    ] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="An .npz of inputs, for the ranges of int8.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the file, if it is there.")
    ] = False,
    kind: Kind = None,
    json: Json = False,
) -> None:
    """Write a model in another form, then run the file and check its zeros."""
    check_wanted(to, output, quantize, overwrite)
    read = [path for path in (model, inputs, calibration) if path]
    check_outputs([output], read)
    wanted = Wanted(to, quantize, _arrays(inputs), _arrays(calibration), overwrite)
    opened = open_model(model, kind)
    with progress(f"exporting to {to}"):
        exported = export_bound(opened.model, opened.binding, output, wanted)
    if json:
        show_json({**exported.to_dict(), "notes": [*exported.notes, *opened.notes]})
        return
    show(exported.view(notes=opened.notes))


def _arrays(path: Path | None) -> Any:
    """Return the arrays in an .npz file: by name, or in their order where they have none.

    Raises:
        ExportError: The file is not an .npz file, or holds something else than arrays.

    """
    if path is None:
        return None
    check_input(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, AttributeError, EOFError, zipfile.BadZipFile) as error:
        raise ExportError(f"{path}: no .npz file of plain arrays: {error}") from error
    if all(name == f"arr_{number}" for number, name in enumerate(arrays)):
        return tuple(arrays.values())
    return arrays
