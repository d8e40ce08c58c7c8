"""The content of a recording's file, checked and made into values."""

from __future__ import annotations

from typing import Any

import numpy as np

from secateur.recording import file
from secateur.recording.plane import Plane
from secateur.recording.recorded import RecordedUpdate, RecordedWeight


def parsed(found: file.Content) -> dict[str, Any]:
    """Return the attributes of a recording from the content of its file, checked.

    Args:
        found: The content.

    Raises:
        ValueError: It is damaged; so are a KeyError, a TypeError and an AttributeError.

    """
    header = found.header
    weights = [_weight(table) for table in file.typed(header["weights"], list)]
    by_name = {weight.name: weight for weight in weights}
    if len(by_name) < len(weights):
        raise ValueError("two weights have one name")
    versions = file.typed(header["versions"], dict)
    return {
        "adapter": file.typed(header["adapter"], str),
        "fingerprint": file.typed(header["fingerprint"], str),
        "policy": file.typed(header["policy"], dict),
        "versions": {name: file.typed(version, str) for name, version in versions.items()},
        "weights": by_name,
        "history": tuple(_update(row, weights) for row in found.rows),
    }


def _weight(table: Any) -> RecordedWeight:
    known = file.typed(table, dict)
    words = {key: file.typed(known[key], str) for key in ("name", "kind", "role", "dtype")}
    shape = tuple(map(file.count, file.typed(known["shape"], list)))
    plane = Plane(**{key: file.count(value) for key, value in dict(known["plane"]).items()})
    file.check_plane(plane)
    tile = known["tile"]
    if tile is not None:
        tile = tuple(None if reach is None else file.count(reach) for reach in tile)
        if len(tile) != len(shape) or 0 in tile:
            raise ValueError(f"a tile of {tile!s:.80} does not fit the shape {shape!s:.80}")
    target, method = known["target"], known["method"]
    weight = RecordedWeight(
        **words,
        shape=shape,
        rule=None if known["rule"] is None else file.count(known["rule"]),
        target=None if target is None else file.sparsity(target),
        method=None if method is None else _method(method),
        tile=tile,
        plane=plane,
        deflated=None if known["deflated"] is None else file.count(known["deflated"]),
    )
    file.bits_of(weight.dtype)
    return weight


def _method(table: Any) -> dict[str, Any]:
    method: dict[str, Any] = file.typed(table, dict)
    for part in ("schedule", "criterion", "pattern", "distribution"):
        file.typed(file.typed(method[part], dict)["kind"], str)
    return method


def _update(row: file.Row, weights: list[RecordedWeight]) -> RecordedUpdate:
    weight = weights[row.weight]
    if row.kept > weight.size:
        raise ValueError(f"{weight.name:.80} keeps {row.kept} of {weight.size}")
    return RecordedUpdate(
        row.step,
        weight.name,
        row.kept,
        1 - row.kept / weight.size if weight.size else 0.0,
        row.target,
        None if np.isnan(row.threshold) else row.threshold,
        row.largest,
        row.histogram,
        row.resumed,
        row.stored,
    )
