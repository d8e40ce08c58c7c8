"""The tables of docs/reference/kinds.md are what files are read by."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from secateur.adapter import Checkpoint, Tensor
from secateur.checkpoints.infer_kinds import infer

PAGE = (Path(__file__).parents[2] / "docs/reference/kinds.md").read_text()
ROW = re.compile(
    r"^\| ([^|]+) \| `([^`]+)` \| ([\dx]+) \| (\w+)(: no)? \| ([^|]+) \| [^|]+ \|$", re.MULTILINE
)


class Named(Checkpoint):
    """A checkpoint of names and shapes."""

    path = Path("named.safetensors")

    def __init__(self, shapes):
        self.tensors = {name: Tensor(name, "float32", shape) for name, shape in shapes.items()}

    def read(self, name):
        return np.zeros(self.tensors[name].shape, "f")

    def write(self, path, changed, fingerprint):
        raise NotImplementedError


def shape(text):
    return tuple(map(int, text.split("x")))


FILES: dict[str, list[tuple[str, ...]]] = {}
for file, *row in ROW.findall(PAGE):
    FILES.setdefault(file, []).append(tuple(row))


def test_the_page_has_its_rows():
    assert sum(map(len, FILES.values())) == 41


@pytest.mark.parametrize("file", FILES)
def test_each_row_of_the_page_is_what_a_file_is_read_as(file):
    rows = FILES[file]
    inferred = infer(Named({name: shape(size) for name, size, *_ in rows}))
    left = {each.name: each.reason for each in inferred.skipped}
    parts = {}
    for part in inferred.parts:
        parts.setdefault(part.tensor, []).append(part)
    for name, size, kind, no, canonical in rows:
        if no:
            assert name in left, name
            continue
        stored = np.arange(np.prod(shape(size))).reshape(shape(size))
        shapes = {part.canonical(stored).shape for part in parts[name]}
        rank = "dense" if stored.ndim == 2 else "conv"
        assert {part.kind or rank for part in parts[name]} == {kind}, name
        assert shapes == {shape(canonical.split(",")[0])}, name
        assert len(parts[name]) == (3 if "three" in canonical else 1)
        if "transposed" in canonical:
            assert np.array_equal(parts[name][0].canonical(stored), stored.T)


def test_names_of_experts_are_those_of_the_live_model():
    shapes = {
        f"m.experts.{n}": s for n, s in (("gate_up_proj", (4, 24, 8)), ("down_proj", (4, 8, 12)))
    }
    assert [part.weight for part in infer(Named(shapes)).parts] == [
        "m.experts.gate_up_proj:kernel",
        "m.experts.down_proj:kernel",
    ]
