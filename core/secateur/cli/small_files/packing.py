"""``secateur sizes``, ``pack`` and ``unpack``: how small a model's file can be."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from secateur.checkpoints.infer_kinds import parse_kinds
from secateur.cli.app import Json, Kind, Model, app
from secateur.cli.output import progress, show, show_json
from secateur.packing.manifest import BITS
from secateur.shipping.measure import sizes
from secateur.shipping.pack import pack
from secateur.shipping.unpack import unpack
from secateur.tables import Paragraph


class Values(StrEnum):
    """How kept weights are stored."""

    FLOAT = "float"
    INT8 = "int8"
    CLUSTERED = "clustered"


class Compression(StrEnum):
    """What a packed file is compressed by."""

    XZ = "xz"
    ZSTD = "zstd"
    NONE = "none"


Output = Annotated[Path, typer.Option("--output", "-o", help="The file to write.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file, if it is there.")]


@app.command("sizes", epilog="Example: secateur sizes pruned.npz")
def show_sizes(model: Model, kind: Kind = None, json: Json = False) -> None:
    """Show how large a model is: raw, compressed, and the entropy of its masks and values."""
    with progress(f"compressing {model}"):
        found = sizes(model, parse_kinds(kind or ()))
    if json:
        show_json(found.to_dict())
    else:
        show(found.view())


@app.command("pack", epilog="Example: secateur pack pruned.npz -o model.packed --values int8")
def pack_model(
    model: Model,
    output: Output,
    values: Annotated[
        Values,
        typer.Option(
            help="How kept weights are stored: exactly, as int8, or as codes of a codebook.",
        ),
    ] = Values.FLOAT,
    bits: Annotated[
        int | None,
        typer.Option(
            min=BITS[0], max=BITS[-1], help="How many bits a code has, for clustered values."
        ),
    ] = None,
    compress: Annotated[Compression, typer.Option(help="The compression on top.")] = Compression.XZ,
    kind: Kind = None,
    allow_larger: Annotated[
        bool, typer.Option("--allow-larger", help="Write the file even if it is no smaller.")
    ] = False,
    overwrite: Overwrite = False,
    json: Json = False,
) -> None:
    """Write a model as a small packed file, which secateur.load_packed fills into a model.

    Only prunable weights are quantized. The file is read back and compared before it is written.
    """
    with progress(f"packing {model}"):
        packed = pack(
            model,
            output,
            values,
            bits,
            compress,
            kinds=parse_kinds(kind or ()),
            allow_larger=allow_larger,
            overwrite=overwrite,
        )
    if json:
        show_json(packed.to_dict())
    else:
        show(packed.view())


@app.command("unpack", epilog="Example: secateur unpack model.packed -o unpacked.npz")
def unpack_model(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A packed file.")],
    output: Output,
    overwrite: Overwrite = False,
) -> None:
    """Write the tensors of a packed file as a .safetensors or .npz file."""
    with progress(f"unpacking {file}"):
        unpack(file, output, overwrite=overwrite)
    show([Paragraph([f"written to {output}"], "result")])
