"""What export promises of any exporter: run, compared, counted, and only then given its name."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.errors import ExportError, PluginError
from secateur.exports.stored import find

WEIGHT = np.where(np.arange(24).reshape(4, 6) % 3 == 0, 0, np.arange(24).reshape(4, 6) - 11.5)


class Fake(secateur.Exporter):
    """Writes two files; what it says of them is up to each test."""

    kind = "fake"
    quantizations = ("none", "int8")

    def __init__(self, during=None, outputs=None, stored=WEIGHT):
        self.during, self.outputs, self.stored = (
            during,
            [np.ones(3)] if outputs is None else outputs,
            stored,
        )

    def refusal(self, source):
        return "no ears" if source.adapter == "deaf" else None

    def export(self, source, path):
        path.write_text("new")
        path.with_suffix(".bin").write_text("new too")
        if self.during:
            raise self.during
        tensors = [secateur.StoredTensor("w", self.stored)]
        return secateur.Reading("fake", "1", [np.ones(3)], self.outputs, tensors)


@pytest.fixture
def export(tmp_path):
    """Export the weight by a fake; return the exception or the result, and what lies there."""
    (tmp_path / "old.x").write_text("old")

    def call(fake, name="new.x", **options):
        class Plugin:
            @secateur.hookimpl
            def secateur_exporters(self):
                return [fake]

        secateur.register(Plugin(), "fake")
        try:
            return secateur.export({"fc": WEIGHT}, tmp_path / name, to="fake", **options)
        finally:
            secateur.unregister("fake")

    return call


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_gets_its_name_with_those_that_belong_to_it(export, tmp_path):
    exported = export(Fake())
    assert contents(tmp_path) == {"old.x": "old", "new.x": "new", "new.bin": "new too"}
    assert (exported.bytes, len(exported.files), exported.runtime) == (10, 2, "fake")
    (weight,) = exported.weights
    assert (weight.sparsity, weight.exported, weight.checked) == (
        pytest.approx(1 / 3),
        pytest.approx(1 / 3),
        True,
    )
    assert "1 of 1 weights keep every zero" in str(exported)


@pytest.mark.parametrize(
    ("fake", "error", "words"),
    [
        (Fake(stored=WEIGHT + np.where(WEIGHT == 0, 1e-9, 0)), ExportError, "8 of 8 zeros are not"),
        (Fake(outputs=[np.full(3, 1.01)]), ExportError, "differs from the model"),
        (Fake(outputs=[np.full(3, np.nan)]), ExportError, "NaN"),
        (Fake(outputs=[np.ones(2)]), ExportError, "shapes"),
        (Fake(outputs=[]), ExportError, "shapes"),
        (Fake(during=ValueError("odd")), PluginError, "plugin 'fake'.*ValueError: odd"),
        (Fake(during=OSError(errno.ENOSPC, "No space left", "old.x")), OSError, "No space left"),
        (Fake(during=KeyboardInterrupt()), KeyboardInterrupt, "^$"),
    ],
    ids=["zeros", "outputs", "nan", "shape", "none", "converter", "disk", "ctrl-c"],
)
def test_what_fails_leaves_the_old_file_and_nothing_else(export, tmp_path, fake, error, words):
    with pytest.raises(error, match=words):
        export(fake, "old.x", overwrite=True)
    assert contents(tmp_path) == {"old.x": "old"}
    export(Fake(), "old.x", overwrite=True)
    assert contents(tmp_path) == {"old.x": "new", "old.bin": "new too"}


@pytest.mark.parametrize("there", ["new.x", "new.bin"])
def test_a_file_that_is_there_is_replaced_only_when_asked(export, tmp_path, there):
    (tmp_path / there).write_text("mine")
    with pytest.raises(FileExistsError, match="overwrite"):
        export(Fake())
    assert contents(tmp_path) == {"old.x": "old", there: "mine"}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"quantize": "float16"}, "takes quantize"), ({"quantize": "in8"}, "did you mean 'int8'")],
)
def test_an_unknown_quantization_is_refused(export, options, words):
    with pytest.raises(ExportError, match=words):
        export(Fake(), **options)


def test_a_weight_that_the_file_does_not_hold_is_never_passed_over(export):
    exported = export(Fake(stored=np.ones((3, 3))))
    assert not exported.weights[0].checked
    assert "0 of 1 weights keep every zero; 1 not found" in str(exported)


@given(
    st.integers(0, 10_000),
    st.sampled_from([(8, 5), (6, 4, 3, 3), (4, 7, 1, 1), (9, 1, 3, 3), (4, 6, 5), (2, 3, 4, 3)]),
    st.sampled_from(["float", "int8", "zero point"]),
)
def test_a_weight_is_found_however_it_was_turned_scaled_and_quantized(seed, shape, stored_as):
    random = np.random.default_rng(seed)
    leading = 1 if len(shape) == 3 else 0
    weight = np.where(random.random(shape) < 0.5, 0, random.normal(size=shape)).astype("f")
    outer = shape[:leading]
    stored = weight[random.permutation(outer[0])] if leading else weight
    stored = stored.reshape(-1, *shape[leading + 1 :])
    scales = random.uniform(0.5, 2, len(stored)) * random.choice([-1, 1], len(stored))
    stored = stored * scales.reshape(-1, *[1] * (stored.ndim - 1))
    turned = np.ascontiguousarray(stored.transpose(random.permutation(stored.ndim)))
    tensor = secateur.StoredTensor("w", turned)
    if stored_as != "float":
        step = np.abs(turned).max() / 100 or 1.0
        zero = 7 if stored_as == "zero point" else 0
        tensor = secateur.StoredTensor("w", np.round(turned / step).astype(int) + zero, zero, step)
    other = secateur.StoredTensor("other", random.normal(size=turned.shape))
    found = find(weight, leading, [other, tensor])
    assert found is not None
    assert found.lost == 0
    assert set(found.tensors) <= {"w", "other"}
    if min(np.abs(weight).reshape(len(weight), -1).sum(1)) > 0 and weight[0].size >= 12:
        assert found.tensors == ("w",)
