"""A packed file that is cut short, changed or hostile gives one error, within bounded memory."""

from __future__ import annotations

import contextlib
import json
import lzma
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

import secateur
from secateur.packing.compression import ALLOWANCE

ENTRY = {"name": "fc", "dtype": "float32", "shape": [2, 8], "values": "float"}
MASK, ONE_KEPT = ("U8", [2], bytes([128, 0])), ("U8", [4, 1], bytes([0, 0, 128, 63]))


def container(tensors, sections, **metadata) -> bytes:
    """Return a packed file without compression, whatever is in it."""
    text = tensors if isinstance(tensors, str) else json.dumps(tensors)
    meta = {"format": "secateur-packed", "version": "1", "source": "file", "tensors": text}
    table, body = {"__metadata__": {**meta, **metadata}}, b""
    for name, (dtype, shape, content) in sections.items():
        spans = [len(body), len(body) + len(content)]
        table[name] = {"dtype": dtype, "shape": shape, "data_offsets": spans}
        body += content
    header = json.dumps(table).encode()
    return len(header).to_bytes(8, "little") + header + body


def changed(**keys):
    return container([{**ENTRY, **keys}], {"0.mask": MASK, "0.values": ONE_KEPT})


def with_part(**keys):
    part = {"weight": "fc:kernel", "shape": [2, 8], "channels": 2, "steps": [], **keys}
    return changed(parts=[part])


def quantized(values, **sections):
    whole = {"0.mask": MASK, "0.values": ("I8" if values == "int8" else "U8", [1], b"\xff")}
    return container([{**ENTRY, "values": values, "bits": 4}], {**whole, **sections})


GOOD = container([ENTRY], {"0.mask": MASK, "0.values": ONE_KEPT})
BAD = {
    "no_tensors": container("nothing", {}),
    "nested": container("[" * 100_000, {}),
    "no_list": container({"a": 1}, {}),
    "version": container([ENTRY], {"0.mask": MASK, "0.values": ONE_KEPT}, version="2"),
    "format": container([ENTRY], {"0.mask": MASK, "0.values": ONE_KEPT}, format="pt"),
    "twice": container([ENTRY, ENTRY], {"0.values": ONE_KEPT, "1.values": ONE_KEPT}),
    "no_values": container([ENTRY], {"0.mask": MASK}),
    "another_section": container([ENTRY], {"0.values": ONE_KEPT, "0.scales": ("F32", [0], b"")}),
    "of_no_tensor": container([ENTRY], {"0.values": ONE_KEPT, "1.values": ONE_KEPT}),
    "float_mask": container([ENTRY], {"0.values": ONE_KEPT, "0.mask": ("F32", [1], b"1234")}),
    "short_mask": container([ENTRY], {"0.mask": ("U8", [1], b"\x80"), "0.values": ONE_KEPT}),
    "more_kept": container([ENTRY], {"0.mask": ("U8", [2], b"\xff\0"), "0.values": ONE_KEPT}),
    "padding": container([{**ENTRY, "shape": [13]}],
                         {"0.mask": ("U8", [2], b"\x80\x01"), "0.values": ONE_KEPT}),
    "name": changed(name=3),
    "object": changed(dtype="O"),
    "record": changed(dtype="f4,O"),
    "subarray": changed(dtype="(1000000000,)f4"),
    "no_size": changed(dtype="S0"),
    "negative": changed(shape=[-2, -8]),
    "bool_shape": changed(shape=[True, 16]),
    "huge": changed(shape=[1 << 40, 1 << 40]),
    "large": changed(shape=[1 << 20, 1 << 10]),
    "values": changed(values="pickle"),
    "aliases": changed(aliases=[["fc"]]),
    "int_as_int8": changed(values="int8", dtype="int32"),
    "part_size": with_part(shape=[3, 8]),
    "part_channels": with_part(channels=-1),
    "part_kind": with_part(kind=3),
    "part_step": with_part(steps=[["eval", [1]]]),
    "part_argument": with_part(steps=[["take", "1"]]),
    "part_take": with_part(steps=[["take", [0, 0]]]),
    "part_axes": with_part(steps=[["transpose", [0, 5]]]),
    "part_shape": with_part(steps=[["transpose", [1, 0]]]),
    "scales": quantized("int8", **{"0.scales": ("F32", [3], b"123412341234")}),
    "no_scales": quantized("int8"),
    "codes": quantized("clustered", **{"0.codebook": ("F32", [1], b"1234")}),
    "bits": changed(values="clustered", bits=2.0),
    "trailing": lzma.compress(GOOD) + b"more",
    "xz_ends": lzma.compress(GOOD)[:-20],
    "zstd_ends": zstandard.ZstdCompressor().compress(GOOD)[:-5],
    "xz_bomb": lzma.compress(GOOD + bytes(1 << 20)),
    "empty": b"",
    "header": (1 << 62).to_bytes(8, "little") + b"{}",
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_breaks_a_rule_is_refused(tmp_path, case):
    path = tmp_path / "bad.packed"
    path.write_bytes(BAD[case])
    model = {"fc": np.ones((2, 8), np.float32)}
    for use in (
        lambda: secateur.load_packed(path),
        lambda: secateur.load_packed(path, model),
        lambda: secateur.unpack(path, tmp_path / "out.npz"),
    ):
        with pytest.raises(secateur.ModelError) as raised:
            use()
        assert len(str(raised.value)) < 500
    assert (model["fc"] == 1).all()
    assert list(tmp_path.iterdir()) == [path]


def test_the_same_file_without_a_fault_is_read(tmp_path):
    for compress in (bytes, lzma.compress, zstandard.ZstdCompressor().compress):
        (tmp_path / "good.packed").write_bytes(compress(GOOD))
        assert secateur.load_packed(tmp_path / "good.packed")["fc"][0, 0] == 1


def bomb(kind: str) -> bytes:
    """Return a file of few bytes that claims, or comes to, very many."""
    if kind == "header":
        return lzma.compress((1 << 26).to_bytes(8, "little") + b"[" * (1 << 26), preset=0)
    zeros = {"name": "z", "dtype": "float32", "shape": [1 << 29], "values": "float"}
    mask, values = ("U8", [1 << 26], bytes(1 << 26)), ("U8", [4, 0], b"")
    whole = container([zeros], {"0.mask": mask, "0.values": values})
    return lzma.compress(whole, preset=0) if kind == "xz" else zstandard.compress(whole)


@pytest.mark.parametrize("kind", ["xz", "zstd", "header"])
def test_memory_is_bounded_by_the_size_of_the_file(tmp_path, kind):
    path = tmp_path / "bomb.packed"
    path.write_bytes(bomb(kind))
    tracemalloc.start()
    try:
        with pytest.raises(secateur.ModelError, match=r"claim"):
            secateur.load_packed(path)
        assert tracemalloc.get_traced_memory()[1] < ALLOWANCE + (16 << 20)
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> tuple[Path, bytes]:
    rng = np.random.default_rng(0)
    model = {"a.weight": rng.normal(size=(16, 30)).astype(np.float32), "a.bias": np.ones(16)}
    secateur.prune(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.8}})
    path = tmp_path_factory.mktemp("packed") / "m.packed"
    secateur.pack(model, path, "int8", compression="none")
    return path, path.read_bytes()


@settings(max_examples=2 * settings().max_examples)
@given(data=st.data())
def test_no_change_of_a_byte_gives_another_error(packed, data):
    path, content = packed
    damaged = bytearray(content)
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.sampled_from([len(content), len(content), len(content) // 2]))
    path.with_name("damaged.packed").write_bytes(damaged[:end])
    with contextlib.suppress(secateur.ModelError):
        secateur.load_packed(path.with_name("damaged.packed"))
