"""Packing a model: encoded, compressed, read back, and only then written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from secateur.adapter import StateTensor
from secateur.checkpoints.infer_kinds import Kinds
from secateur.errors import ModelError, nearest, shown
from secateur.files import check_absent, check_output, write_atomically
from secateur.layout import Array
from secateur.packing.bits import nonzero_bits
from secateur.packing.compression import check_compression
from secateur.packing.dtypes import as_bytes
from secateur.packing.encode import Form, Sections, encode
from secateur.packing.manifest import BITS, VALUES, Entry
from secateur.packing.reader import PackedFile
from secateur.packing.writer import to_bytes
from secateur.shipping.sources import Source, open_source
from secateur.tables import Column, Paragraph, Printed, Table, View

_BITS_BY_DEFAULT = 4
_COLUMNS = (
    Column("tensor", long="shorten"),
    Column("values"),
    Column("raw", right=True),
    Column("before compression", right=True),
)


@dataclass(frozen=True)
class PackedTensor:
    """One tensor of a packed file.

    Attributes:
        name: Its name.
        values: How its values are stored: "float" (exactly), "int8" or "clustered".
        raw: Its bytes as they were.
        stored: Its bytes in the file before compression.

    Example:
        >>> PackedTensor("fc.weight", "int8", raw=4000, stored=600).values
        'int8'

    """

    name: str
    values: str
    raw: int
    stored: int


@dataclass(frozen=True)
class Packed(Printed):
    """What packing came to; prints as a table.

    Attributes:
        path: The file that was written.
        size: Its bytes.
        raw: The bytes of all tensors as they were.
        tensors: Each tensor.

    Example:
        >>> import numpy as np, secateur, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed = secateur.pack({"fc": np.eye(100)}, f"{folder}/eye.packed")
        >>> packed.raw, packed.size < 1000
        (80000, True)

    """

    path: Path
    size: int
    raw: int
    tensors: tuple[PackedTensor, ...]

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the tensors as they were."""
        return self.raw / self.size

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain values, for JSON."""
        tensors = [vars(tensor) for tensor in self.tensors]
        figures = {"size": self.size, "raw": self.raw, "ratio": self.ratio}
        return {"path": str(self.path), **figures, "tensors": tensors}

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed.

        Args:
            fold: Makes no difference here.
            notes: More that the reader should know.

        """
        rows = [(t.name, t.values, f"{t.raw:,}", f"{t.stored:,}") for t in self.tensors]
        smaller = f"{self.ratio:.1f} times smaller" if self.ratio > 1 else "no smaller"
        done = f"{self.raw:,} bytes packed into {self.size:,}, {smaller}: {self.path}"
        return [Table(_COLUMNS, rows), Paragraph([done, *notes], "result")]


def pack(
    model: Any,
    path: str | Path,
    values: str = "float",
    bits: int | None = None,
    compression: str = "xz",
    *,
    masks: Mapping[str, Array] | None = None,
    kinds: Kinds = (),
    allow_larger: bool = False,
    overwrite: bool = False,
) -> Packed:
    """Write a model, or the tensors of a file, as a small packed file.

    Pruned weights cost little more than a bit each. Only prunable weights are quantized; biases,
    statistics of normalization and layers left dense are stored exactly. The file is read back
    and compared before it takes its name.

    Args:
        model: A model that `plan` takes, or the path of a .safetensors, .npz, .keras, .pt or
            .pth file.
        path: The file to write; ``.packed`` is the usual suffix.
        values: How kept weights are stored: "float" is exact for every dtype, "int8" has one
            scale for each output channel, "clustered" has a codebook for each weight.
        bits: How many bits a code has, 2 to 8, for "clustered"; 4 by default.
        compression: "xz", "zstd" (needs zstandard) or "none".
        masks: Which weights count as kept, such as ``report.masks``; without it, those with a
            bit that is set.
        kinds: Pairs of a glob and a kind, for tensors of a file whose names do not tell it.
        allow_larger: Write the file even if it is no smaller than what it is made of.
        overwrite: Whether a file at `path` may be replaced.

    Returns:
        What packing came to.

    Raises:
        ModelError: The model cannot be read, a dtype cannot be packed, or the file would not be
            smaller; nothing is written then.
        WeightError: A weight to quantize holds NaN or infinity; nothing is written then.
        OSError: The file exists, or cannot be written.

    Example:
        >>> import numpy as np, tempfile
        >>> weights = {"fc": np.tri(100, dtype=np.float32), "bias": np.ones(100, np.float32)}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed = pack(weights, f"{folder}/tri.packed", values="int8")
        ...     print([tensor.values for tensor in packed.tensors], packed.raw)
        ['int8', 'float'] 40400

    """
    form, target = _form(values, bits), Path(path)
    check_compression(compression)
    source_path = Path(model) if isinstance(model, str | Path) else None
    check_output(target, [source_path] if source_path else [])
    check_absent(target, overwrite)
    source = open_source(model, kinds)
    if source.is_packed:
        raise ModelError(f"{source} is packed already; unpack it first, and pack that")
    given = masks or {}
    _check_masks(given, source)
    encoded = [encode(tensor, form, given) for tensor in source.tensors]
    packed = to_bytes(encoded, source.adapter, compression)
    raw = sum(entry.nbytes for entry, _ in encoded)
    if not allow_larger:
        _check_smaller(len(packed), raw, source, form)
    _check_readable(PackedFile(target, packed), source.tensors)
    write_atomically(target, packed)
    return Packed(target, len(packed), raw, tuple(_rows(encoded)))


def _form(values: str, bits: int | None) -> Form:
    if values not in VALUES:
        raise ModelError(f"no values {shown(values)}: {nearest(str(values), VALUES)}")
    if bits is not None and values != "clustered":
        raise ModelError(f"bits={bits} is for values='clustered' only, not '{values}'")
    bits = _BITS_BY_DEFAULT if bits is None else bits
    if bits not in BITS:
        raise ModelError(f"bits={shown(bits)}: a code has {BITS[0]} to {BITS[-1]} bits")
    return Form(values, bits)


def _check_masks(masks: Mapping[str, Array], source: Source) -> None:
    known = {part.weight for tensor in source.tensors for part in tensor.parts}
    if unknown := [name for name in masks if name not in known]:
        raise ModelError(f"masks: no weight {shown(unknown[0])}: {nearest(unknown[0], known)}")


def _check_smaller(packed: int, raw: int, source: Source, form: Form) -> None:
    size = raw if source.path is None else min(raw, source.path.stat().st_size)
    if packed < size:
        return
    quantized = "" if form.values != "float" else " or take values='int8'"
    raise ModelError(
        f"packed, {source} would take {packed:,} bytes, and it takes {size:,} now, so nothing was "
        f"written: it has few zeros to save. Prune it first{quantized}; allow_larger=True "
        "(--allow-larger) writes it all the same"
    )


def _check_readable(packed: PackedFile, tensors: Sequence[StateTensor]) -> None:
    """Compare what was packed with the model: values that are exact, and zeros everywhere."""
    for tensor in tensors:
        found, wanted = packed.read(tensor.name), tensor.read()
        if packed.entries[tensor.name].values == "float":
            same = np.array_equal(as_bytes(found), as_bytes(wanted))
        else:
            same = not (nonzero_bits(found) & ~nonzero_bits(wanted)).any()
        if not same:
            raise ModelError(
                f"{tensor.name} was read back as another tensor, and nothing was written: did "
                "the model change meanwhile?"
            )


def _rows(encoded: Sequence[tuple[Entry, Sections]]) -> Iterator[PackedTensor]:
    for entry, sections in encoded:
        stored = sum(array.nbytes for array in sections.values())
        yield PackedTensor(entry.name, entry.values, entry.nbytes, stored)
