"""What is packed comes back: every bit of every dtype, and the zeros of what is quantized."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import secateur
from secateur.errors import ModelError
from secateur.packing.clusters import codebook_of, nearest_codes
from secateur.packing.reader import PackedFile

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
DTYPES = (
    *("float16", "float32", "float64", "int8", "uint8", "int16", "int64", "uint64", "bool"),
    *("complex64", "complex128", ">f4", ">i2", "<U3", "S2", "datetime64[ns]"),
    *(ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2),
)


@st.composite
def arrays(draw):
    """Draw an array of any dtype, of random bits of which many are clear."""
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    size = int(np.prod(shape))
    if dtype.kind == "b":
        values = rng.random(size) < 0.3
    elif dtype.kind == "U":
        values = rng.choice(["", "a", "éß", "xyz"], size).astype(dtype)
    else:
        bits = rng.integers(0, 256, (size, dtype.itemsize), np.uint8)
        bits[rng.random(size) < draw(st.sampled_from([0.0, 0.5, 0.97]))] = 0
        values = bits.view(dtype)
    return values.reshape(shape)


@given(tensors=st.dictionaries(st.text(max_size=8), arrays(), min_size=1, max_size=4),
       compression=st.sampled_from(["xz", "zstd", "none"]))  # fmt: skip
def test_every_bit_of_every_dtype_comes_back(tmp_path_factory, tensors, compression):
    path = tmp_path_factory.mktemp("packed") / "m.packed"
    secateur.pack(tensors, path, compression=compression, allow_larger=True)
    loaded = secateur.load_packed(path)
    assert loaded.keys() == tensors.keys()
    for name, wanted in tensors.items():
        assert (loaded[name].dtype, loaded[name].shape) == (wanted.dtype, wanted.shape)
        assert loaded[name].tobytes() == wanted.tobytes()
    fresh = {name: np.zeros_like(array) for name, array in tensors.items()}
    secateur.load_packed(path, fresh)
    assert all(fresh[name].tobytes() == array.tobytes() for name, array in tensors.items())


@given(weight=hnp.arrays("float32", st.tuples(st.integers(1, 9), st.integers(1, 40)),
                         elements=st.floats(-100, 100, width=32)),
       sparsity=st.sampled_from([0.0, 0.5, 0.9]))  # fmt: skip
def test_int8_is_what_a_naive_loop_makes(tmp_path_factory, weight, sparsity):
    weight[np.random.default_rng(0).random(weight.shape) < sparsity] = 0
    path = tmp_path_factory.mktemp("packed") / "m.packed"
    secateur.pack({"fc": weight}, path, values="int8", allow_larger=True)
    packed = PackedFile(path)
    found = secateur.load_packed(path)["fc"]
    if packed.entries["fc"].values == "float":  # scales would cost more than they save
        assert found.tobytes() == weight.tobytes()
        return
    for row, quantized in zip(weight, found, strict=True):
        scale = np.float32(np.abs(row).max().astype(np.float64) / 127)
        for value, other in zip(row, quantized, strict=True):
            if value == 0 or scale == 0:
                assert other.view(np.uint32) == 0
            else:
                integer = round(float(value) / float(scale))  # half to even
                assert other == np.float32(max(-127, min(127, integer))) * scale


@settings(max_examples=settings().max_examples // 4)
@given(values=hnp.arrays("float64", st.integers(1, 200), elements=st.floats(-5, 5)),
       bits=st.integers(2, 4))  # fmt: skip
def test_clusters_are_where_lloyds_algorithm_stops(values, bits):
    book = codebook_of(values, 1 << bits)
    distinct = np.unique(values)
    assert (np.diff(book) > 0).all()
    assert len(book) <= 1 << bits
    if len(distinct) <= 1 << bits:
        np.testing.assert_array_equal(book, distinct)
        return
    codes = nearest_codes(values, book)
    distance = np.abs(values[:, None] - book)
    np.testing.assert_allclose(distance[np.arange(len(values)), codes], distance.min(1), atol=1e-9)
    for code in np.unique(codes):  # each centre is the mean of what is nearest to it
        np.testing.assert_allclose(book[code], values[codes == code].mean(), atol=1e-6)


@pytest.fixture
def weights():
    rng = np.random.default_rng(0)
    made = {
        "conv.weight": rng.normal(size=(32, 8, 3, 3)).astype(np.float32),
        "fc.weight": rng.normal(size=(64, 300)).astype(np.float32),
        "fc.bias": rng.normal(size=64).astype(np.float32),
    }
    secateur.prune(made, {"schedule": {"kind": "one_shot", "final_sparsity": 0.9}})
    return made


@pytest.mark.parametrize(("values", "bits", "most"), [
    ("float", None, 12_000), ("int8", None, 4_600), ("clustered", 4, 3_600), ("clustered", 3, 3_200)
])  # fmt: skip
def test_a_pruned_model_becomes_small_and_keeps_its_zeros(tmp_path, weights, values, bits, most):
    raw = sum(array.nbytes for array in weights.values())
    packed = secateur.pack(weights, tmp_path / "m.packed", values, bits)
    assert packed.size == (tmp_path / "m.packed").stat().st_size < most
    assert packed.raw == raw
    loaded = secateur.load_packed(tmp_path / "m.packed")
    assert loaded["fc.bias"].tobytes() == weights["fc.bias"].tobytes()
    check = secateur.quantize_check(weights, tmp_path / "m.packed")
    assert check.ok
    assert all(count.before == count.after for count in check.weights)
    for name in ("conv.weight", "fc.weight"):
        error = np.abs(loaded[name] - weights[name]).max()
        assert error <= {"float": 0, "int8": 0.03, "clustered": 1.5}[values]


def test_the_masks_of_the_pruning_are_kept_where_they_are_given(tmp_path):
    weight = np.ones((4, 100), np.float32)
    weight[:, 10:] = 0
    mask = np.zeros((4, 100), bool)
    mask[:, :20] = True  # it keeps some zeros
    secateur.pack({"fc": weight}, tmp_path / "m.packed", masks={"fc": mask})
    stored = PackedFile(tmp_path / "m.packed").sections("fc")["mask"]
    assert (np.unpackbits(stored).reshape(4, 100) == mask).all()
    with pytest.raises(secateur.ModelError, match="prunes 40 values that are not zero"):
        secateur.pack({"fc": weight}, tmp_path / "n.packed", masks={"fc": ~mask})
    with pytest.raises(secateur.ModelError, match="did you mean 'fc'"):
        secateur.pack({"fc": weight}, tmp_path / "n.packed", masks={"f": mask})


def test_what_would_not_become_smaller_is_not_written(tmp_path):
    dense = {"fc": np.random.default_rng(0).normal(size=(50, 50)).astype(np.float32)}
    with pytest.raises(secateur.ModelError, match="nothing was written"):
        secateur.pack(dense, tmp_path / "a.packed", compression="none")
    assert not list(tmp_path.glob("*.packed"))
    packed = secateur.pack(dense, tmp_path / "a.packed", compression="none", allow_larger=True)
    assert "no smaller" in str(packed)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_weight_that_is_not_finite_is_exact_or_refused(tmp_path, weights, value):
    weights["fc.weight"][3, 4] = value
    with pytest.raises(secateur.WeightError, match=r"fc.weight: 1 values are NaN or infinity"):
        secateur.pack(weights, tmp_path / "m.packed", "int8")
    secateur.pack(weights, tmp_path / "m.packed")
    assert np.array_equal(
        secateur.load_packed(tmp_path / "m.packed")["fc.weight"], weights["fc.weight"], True
    )


def test_a_model_that_does_not_fit_is_left_as_it_was(tmp_path, weights):
    secateur.pack(weights, tmp_path / "m.packed")
    other = {
        "conv.weight": np.ones((32, 8, 3, 3), np.float32),
        "fc.weight": np.ones((64, 30), np.float32),
        "fc.bias": np.ones(64, np.float16),
        "more": np.ones(3, np.float32),
    }
    with pytest.raises(secateur.ModelError) as raised:
        secateur.load_packed(tmp_path / "m.packed", other)
    for part in (
        "fc.weight is (64, 30) in the model and (64, 300) in the file",
        "fc.bias is float16 in the model and float32 in the file",
        "more is in the model only",
    ):
        assert part in str(raised.value)
    assert all((array == 1).all() for array in other.values())
    fixed = {name: array.copy() for name, array in weights.items()}
    fixed["fc.bias"].flags.writeable = False
    with pytest.raises(secateur.ModelError, match=r"fc.bias: read-only"):
        secateur.load_packed(tmp_path / "m.packed", fixed)


def test_unpack_writes_what_was_packed(tmp_path, weights):
    from safetensors.numpy import load_file

    weights["half"] = np.arange(6).astype(ml_dtypes.bfloat16)
    secateur.pack(weights, tmp_path / "m.packed")
    secateur.unpack(tmp_path / "m.packed", tmp_path / "m.safetensors")
    found = load_file(tmp_path / "m.safetensors")
    assert all(found[name].tobytes() == array.tobytes() for name, array in weights.items())
    with pytest.raises(secateur.ModelError, match=r"half is bfloat16, which a .npz"):
        secateur.unpack(tmp_path / "m.packed", tmp_path / "m.npz")
    secateur.pack(tmp_path / "m.safetensors", tmp_path / "again.packed")
    loaded = secateur.load_packed(tmp_path / "again.packed")
    assert all(loaded[name].tobytes() == array.tobytes() for name, array in weights.items())


def test_a_file_that_is_there_is_replaced_only_where_that_is_asked_for(tmp_path, weights):
    packed, plain = tmp_path / "m.packed", tmp_path / "m.safetensors"
    for write in (
        lambda **asked: secateur.pack(weights, packed, **asked),
        lambda **asked: secateur.unpack(packed, plain, **asked),
    ):
        write()
        before = {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()}
        with pytest.raises(FileExistsError, match=r"overwrite=True \(--overwrite\) replaces it"):
            write()
        assert {each: each.stat().st_mtime_ns for each in tmp_path.iterdir()} == before
        write(overwrite=True)


def test_sizes_are_those_that_compressors_give(tmp_path, weights):
    rows = {row.name: row for row in secateur.sizes(weights).weights}
    content = weights["fc.weight"].tobytes()
    assert rows["fc.weight"].compressed["gzip"] == len(gzip.compress(content, 6))
    assert rows["fc.weight"].compressed["xz"] == len(lzma.compress(content, preset=6))
    np.savez(tmp_path / "m.npz", **weights)
    of_file = secateur.sizes(tmp_path / "m.npz")
    assert of_file.raw == (tmp_path / "m.npz").stat().st_size
    assert of_file.xz == len(lzma.compress((tmp_path / "m.npz").read_bytes(), preset=6))
    assert of_file.entropy < secateur.pack(weights, tmp_path / "m.packed").size < of_file.xz
    assert ">everything else</td>" in of_file._repr_html_()


def test_a_report_measures_the_live_weights():
    model = {"fc": np.random.default_rng(0).normal(size=(64, 64))}
    report = secateur.prune(model, HALF)
    model["fc"][...] = 0
    assert report.sizes.raw == 64 * 64 * 8
    assert report.sizes.entropy == 0


def test_an_interrupted_write_leaves_the_old_file(tmp_path, weights, monkeypatch):
    path = tmp_path / "m.packed"
    secateur.pack(weights, path)
    before = path.read_bytes()

    def interrupted(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        secateur.pack(weights, path, "int8", overwrite=True)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_zero_with_a_sign_stays_a_zero_in_every_form(tmp_path):
    weight = np.random.default_rng(0).normal(size=(64, 64)).astype(np.float32)
    weight *= np.abs(weight) > 1.5  # as pruners do that multiply by a mask: half are -0.0
    for values in ("float", "int8", "clustered"):
        path = secateur.pack({"fc": weight}, tmp_path / values, values).path
        assert secateur.quantize_check({"fc": weight}, path).ok
    assert secateur.load_packed(tmp_path / "float")["fc"].tobytes() == weight.tobytes()
    mask = np.ones_like(weight, bool)  # zeros that a mask keeps
    secateur.pack({"fc": weight}, tmp_path / "kept", "clustered", 2, masks={"fc": mask})
    assert secateur.quantize_check({"fc": weight}, tmp_path / "kept").ok


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("far", [30, 1e4, 1e18])
def test_one_far_value_does_not_take_the_codes_of_the_others(bits, far):
    values = np.append(np.random.default_rng(0).normal(size=2000), far)
    book = codebook_of(values, 1 << bits)
    error = np.square(values - book[nearest_codes(values, book)])[:-1].mean()
    assert error < 16 / 4**bits


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ml_dtypes.bfloat16])
@pytest.mark.parametrize("values", ["int8", "clustered"])
def test_the_largest_values_of_a_dtype_do_not_overflow(tmp_path, dtype, values):
    weight = np.random.default_rng(0).uniform(-1, 1, (64, 64))
    weight[:, 0] = 1
    weight = (weight * float(ml_dtypes.finfo(dtype).max)).astype(dtype)
    secateur.pack({"fc": weight}, tmp_path / "m", values, allow_larger=True)
    found = secateur.load_packed(tmp_path / "m")["fc"].astype(np.float64)
    assert np.isfinite(found).all()
    assert np.abs(found / weight.astype(np.float64).max() - weight / weight.max()).max() < 0.2


@pytest.mark.parametrize(
    ("name", "dtype", "suffix"),
    [
        ("a\0b", "float32", ".npz"),
        ("__metadata__", "float32", ".safetensors"),
        ("w", ml_dtypes.float8_e4m3, ".npz"),
        ("w", ml_dtypes.float8_e4m3, ".safetensors"),
        ("w", "complex128", ".safetensors"),
    ],
)
def test_what_a_format_cannot_hold_is_not_unpacked_to_it(tmp_path, name, dtype, suffix):
    secateur.pack({name: np.ones(2, dtype)}, tmp_path / "m.packed", allow_larger=True)
    with pytest.raises(ModelError, match=r"\.npz|\.safetensors|load_packed"):
        secateur.unpack(tmp_path / "m.packed", tmp_path / f"m{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["m.packed"]
