"""Damaged, hostile and odd model files: one line and exit code 1, or what the file says."""

from __future__ import annotations

import io
import json
import struct
import sys
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from secateur.checkpoints import SUFFIXES, open_checkpoint
from secateur.cli import main
from secateur.errors import SecateurError
from tests.cases import some

WEIGHT = "fc.weight"


def invoked(capsys, monkeypatch, *words: object) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["secateur", *map(str, words)])
    with pytest.raises(SystemExit) as exit_:
        main()
    captured = capsys.readouterr()
    return int(exit_.value.code or 0), captured.out, captured.err


def assert_refused(outcome, name: str) -> None:
    assert outcome.code == 1
    assert outcome.out == ""
    [line] = outcome.err.splitlines()
    assert line.startswith("secateur: ")
    assert name in line
    assert len(line) < 5000


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def safetensors_bytes(header: bytes, data: bytes = b"\0" * 8) -> bytes:
    return struct.pack("<Q", len(header)) + header + data


def entry(dtype="F32", shape=(1, 2), offsets=(0, 8)) -> dict:
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


def header(**entries) -> bytes:
    return json.dumps({name.replace("__", "."): each for name, each in entries.items()}).encode()


def valid(suffix: str) -> bytes:
    """Return the bytes of a small file of each format."""
    buffer = io.BytesIO()
    arrays = {WEIGHT: np.arange(1, 7, dtype=np.float32).reshape(2, 3), "fc.bias": np.ones(2)}
    if suffix == ".npz":
        np.savez(buffer, **arrays)
    elif suffix == ".compressed.npz":
        np.savez_compressed(buffer, **arrays)
    elif suffix == ".safetensors":
        text = header(
            fc__weight=entry(shape=(2, 3), offsets=(0, 24)), a=entry("F64", (1,), (24, 32))
        )
        return safetensors_bytes(text, arrays[WEIGHT].tobytes() + b"\1" * 8)
    else:
        import torch

        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, buffer)
    return buffer.getvalue()


def damaged(content: bytes) -> Iterator[bytes]:
    """Yield the content with one byte other, at each place, and cut off at each place."""
    for position in range(len(content)):
        for flip in (1 << position % 8, 0xFF):
            changed = bytearray(content)
            changed[position] ^= flip
            yield bytes(changed)
    for end in range(len(content)):
        yield content[:end]
    yield content + b"\0"
    yield content + content


@pytest.mark.parametrize("suffix", [".npz", ".compressed.npz", ".safetensors"])
def test_every_damaged_byte_gives_a_declared_error_or_an_array(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    for content in some(list(damaged(valid(suffix))), 500):
        path.write_bytes(content)
        try:
            checkpoint = open_checkpoint(path)
            for name, tensor in checkpoint.tensors.items():
                array = checkpoint.read(name)
                assert array.shape == tensor.shape
                assert array.nbytes <= 1 << 16
        except SecateurError as error:
            named = str(path) in str(error)
            assert named


@pytest.mark.parametrize("command", ["inspect", "prune", "diff"])
@pytest.mark.parametrize("suffix", [".npz", ".compressed.npz", ".safetensors"])
def test_a_damaged_file_gives_one_line_and_writes_nothing(
    capsys, monkeypatch, half, tmp_path, suffix, command
):
    path, copy = tmp_path / f"model{suffix}", tmp_path / f"copy{Path(suffix).suffix}"
    (tmp_path / f"other{suffix}").write_bytes(valid(suffix))
    words = {"inspect": ["inspect", path], "prune": ["prune", path, half, "-o", copy],
             "diff": ["diff", path, tmp_path / f"other{suffix}"]}[command]  # fmt: skip
    for content in some(list(damaged(valid(suffix)))[:: 5 if command == "inspect" else 11], 15):
        path.write_bytes(content)
        code, out, err = invoked(capsys, monkeypatch, *words)
        if code:
            assert (code, out, len(err.splitlines())) == (1, "", 1)
            assert not copy.exists()
            assert len(list(tmp_path.iterdir())) == 3
        copy.unlink(missing_ok=True)


@pytest.mark.framework
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_a_damaged_state_dict_gives_one_line(capsys, monkeypatch, tmp_path, suffix):
    pytest.importorskip("torch")
    path = tmp_path / f"model{suffix}"
    for content in list(damaged(valid(suffix)))[:: 7 if suffix == ".pt" else 31]:
        path.write_bytes(content)
        code, out, err = invoked(capsys, monkeypatch, "inspect", path)
        if code:
            assert (code, out, len(err.splitlines())) == (1, "", 1)


# Safetensors: the rules of the format

ONE = json.dumps(entry()).encode()
BROKEN: dict[str, bytes] = {
    "numpy_dtype": header(fc__weight=entry("float32")),
    "lower_dtype": header(fc__weight=entry("f32")),
    "unknown_dtype": header(fc__weight=entry("F128", (1, 1), (0, 8))),
    "no_dtype": header(fc__weight=entry("", (1, 2))),
    "number_as_dtype": header(fc__weight=entry(32)),
    "two_of_one_span": header(fc__weight=entry(), b=entry()),
    "overlap": header(fc__weight=entry("F32", (1, 1), (0, 4)), b=entry("U8", (5,), (3, 8))),
    "within": header(fc__weight=entry("U8", (8,), (0, 8)), b=entry("U8", (2,), (3, 5))),
    "empty_within": header(fc__weight=entry("U8", (8,), (0, 8)), b=entry("U8", (0,), (3, 3))),
    "hole": header(fc__weight=entry("F32", (1, 1), (0, 4)), b=entry("U8", (3,), (5, 8))),
    "hole_before": header(fc__weight=entry("F32", (1, 1), (4, 8))),
    "rest": header(fc__weight=entry("F32", (1, 1), (0, 4))),
    "rest_of_nothing": b"{}",
    "beyond": header(fc__weight=entry("F32", (1, 3), (0, 12))),
    "empty_beyond": header(fc__weight=entry(), b=entry("U8", (0,), (9, 9))),
    "backwards": header(fc__weight=entry("F32", (1, 2), (8, 0))),
    "half_bytes": header(fc__weight=entry("F4", (15,), (0, 8))),
    "other_size": header(fc__weight=entry("F64", (1, 2))),
    "overflowing": header(fc__weight=entry("F32", (0, 1 << 62), (0, 0)), b=entry()),
    "huge": header(fc__weight=entry("F32", (1 << 40, 1 << 40))),
    "huge_number": b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b'],"data_offsets":[0,8]}}',
    "deep": header(fc__weight=entry("F32", (1,) * 70 + (2,))),
    "negative": header(fc__weight=entry("F32", (-1, -2))),
    "fraction": header(fc__weight=entry("F32", (1.0, 2))),
    "truth": header(fc__weight=entry("F32", (True, 2))),
    "text_as_offset": header(fc__weight=entry("F32", (1, 2), ("0", 8))),
    "one_offset": header(fc__weight=entry("F32", (1, 2), (0,))),
    "three_offsets": header(fc__weight=entry("F32", (1, 2), (0, 4, 8))),
    "twice": b'{"a":%b,"a":%b}' % (ONE, ONE),
    "key_twice": b'{"a":{"dtype":"F32","dtype":"F32","shape":[1,2],"data_offsets":[0,8]}}',
    "metadata_twice": b'{"__metadata__":{},"__metadata__":{},"a":%b}' % ONE,
    "metadata_of_numbers": b'{"__metadata__":{"a":1},"a":%b}' % ONE,
    "metadata_of_tables": b'{"__metadata__":{"a":{}},"a":%b}' % ONE,
    "metadata_list": b'{"__metadata__":[],"a":%b}' % ONE,
    "surrogate": b'{"\\ud800":%b}' % ONE,
    "surrogate_in_metadata": b'{"__metadata__":{"a":"\\udfff"},"a":%b}' % ONE,
    "space_before": b" " + header(fc__weight=entry()),
    "byte_order_mark": b"\xef\xbb\xbf" + header(fc__weight=entry()),
    "utf_16": header(fc__weight=entry()).decode().encode("utf-16"),
    "latin_1": '{"\xe9":%s}'.encode("latin-1") % ONE,
    "list": b"[" + header(fc__weight=entry()) + b"]",
    "nothing": b"",
    "nested": b'{"a":' * 60_000 + b"1" + b"}" * 60_000,
    "more": header(fc__weight=entry()) + b"{}",
    "nan": b'{"fc.weight":NaN}',
}  # fmt: skip


@pytest.mark.sampled(7)
@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("command", ["inspect", "prune"])
def test_a_header_that_breaks_a_rule_of_the_format_is_refused(run, half, case, command):
    content = safetensors_bytes(BROKEN[case])
    Path("m.safetensors").write_bytes(content)
    rest = [half, "-o", "p.safetensors"] if command == "prune" else []
    assert_refused(run(command, "m.safetensors", *rest), "m.safetensors: not a whole safetensors")
    assert Path("m.safetensors").read_bytes() == content
    assert not Path("p.safetensors").exists()


@pytest.mark.parametrize("content", [
    b"", b"\0" * 7, struct.pack("<Q", 1 << 62), struct.pack("<Q", 100_000_001) + b"{" * 99,
    struct.pack("<Q", 0) + b"{}", struct.pack("<Q", 3) + b"{}",
])  # fmt: skip
def test_a_length_that_cannot_be_is_refused(run, content):
    Path("m.safetensors").write_bytes(content)
    assert_refused(run("inspect", "m.safetensors"), "m.safetensors: not a whole safetensors")


ALLOWED: dict[str, bytes] = {
    "padded": header(fc__weight=entry()) + b"   ",
    "unsorted": header(fc__weight=entry("F32", (1, 1), (4, 8)), b=entry("U8", (4,), (0, 4))),
    "empty": header(fc__weight=entry(), b=entry("U8", (0, 4), (8, 8)), c=entry("I8", (0,), (0, 0))),
    "scalar": header(fc__weight=entry("F16", (1, 2), (0, 4)), b=entry("F32", (), (4, 8))),
    "metadata": b'{"__metadata__":{"format":"pt"},"fc.weight":%b}' % ONE,
    "unicode": header(**{"é😀": entry()}),
    "other_dtypes": header(a=entry("F8_E5M2", (2,), (0, 2)), b=entry("F4", (4,), (2, 4)),
                           c=entry("BF16", (1, 2), (4, 8))),
    "complex": header(fc__weight=entry("C64", (1, 1))),
}  # fmt: skip


@pytest.mark.parametrize("case", ALLOWED)
def test_a_header_that_keeps_the_rules_is_read_as_the_package_reads_it(case):
    from safetensors import safe_open

    Path("m.safetensors").write_bytes(safetensors_bytes(ALLOWED[case]))
    with safe_open("m.safetensors", "np") as file:
        names = set(file.keys())
    checkpoint = open_checkpoint(Path("m.safetensors"))
    assert set(checkpoint.tensors) == names


@pytest.mark.parametrize("case", [case for case in BROKEN if case not in {
    "overflowing", "deep", "twice", "key_twice", "metadata_twice", "space_before",
}])  # fmt: skip
def test_what_is_refused_the_package_refuses_too(case):
    """What it lets pass, the page on the format forbids, or NumPy: the shapes."""
    from safetensors import safe_open

    Path("m.safetensors").write_bytes(safetensors_bytes(BROKEN[case]))
    with pytest.raises(Exception, match=r"."), safe_open("m.safetensors", "np"):
        pass


def test_nothing_but_the_named_tensors_changes(run, half):
    text = header(fc__weight=entry("F32", (1, 4), (8, 24)), b=entry("U8", (8,), (0, 8)),
                  c=entry("U8", (8,), (24, 32)))  # fmt: skip
    data = b"before!!" + np.arange(1, 5, dtype=np.float32).tobytes() + b"!!after!"
    Path("m.safetensors").write_bytes(safetensors_bytes(text, data))
    assert run("prune", "m.safetensors", half, "-o", "p.safetensors").code == 0
    written = Path("p.safetensors").read_bytes()
    assert written.endswith(
        b"before!!" + np.array([0, 0, 3, 4], np.float32).tobytes() + b"!!after!"
    )


# NumPy's archives


def npy(array: object, version=None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), version=version)
    return buffer.getvalue()


def npy_header(text: str, data: bytes = b"\0" * 32, version=(1, 0)) -> bytes:
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + length + text.encode("latin-1") + data


def shaped(shape: object, descr: object = "<f4", order: object = False, **others) -> bytes:
    table = {"descr": descr, "fortran_order": order, "shape": shape, **others}
    return npy_header(f"{table!r}\n")


HEADERS: dict[str, bytes] = {
    "deep": shaped((1,) * 70 + (8,)),
    "overflowing": shaped((0, 1 << 62)),
    "overflowing_more": shaped((0, 1 << 100)),
    "huge": shaped((1 << 31, 1 << 31)),
    "petabytes": shaped((1 << 50,)),
    "negative": shaped((-1, -8)),
    "too_few": shaped((2, 3)),
    "too_many": shaped((2, 5)),
    "truth": shaped((True, 8)),
    "fraction": shaped((2.0, 4)),
    "text": shaped("ab"),
    "list": shaped([2, 4]),
    "no_dtype": shaped((2, 4), "nonsense"),
    "no_order": shaped((2, 4), order="x"),
    "more_keys": shaped((2, 4), other=1),
    "dtype_of_lists": shaped((2, 4), [["a"]]),
    "dtype_of_numbers": shaped((2, 4), 4),
    "dtype_of_size_0": shaped((1 << 62,), "V0"),
    "not_a_table": npy_header("[]\n"),
    "code": npy_header("__import__('os').abort()\n"),
    "nested": npy_header("(" * 5000 + ")" * 5000 + "\n"),
    "unclosed": npy_header("{'descr': \n"),
    "control": npy_header("\0\n"),
    "no_version": b"\x93NUMPY\x09\x00" + b"\0" * 64,
    "no_magic": b"numpy" * 20,
    "cut": npy(np.ones((2, 4), np.float32))[:20],
    "nothing": b"",
    "long_header": npy_header("{" + " " * 70_000 + "}\n", version=(2, 0)),
    "endless_header": b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 64,
}


def archive(*members: tuple[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as file:
        warnings.simplefilter("ignore")  # zipfile warns of a name that is there twice
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.sampled(7)
@pytest.mark.parametrize("case", HEADERS)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_an_array_that_cannot_be_is_refused(run, half, case, compression):
    good = (f"{WEIGHT}.npy", npy(np.ones((2, 2))))
    Path("m.npz").write_bytes(archive(good, ("b.npy", HEADERS[case]), compression=compression))
    assert_refused(run("inspect", "m.npz"), "m.npz: not a whole .npz file")
    assert_refused(run("prune", "m.npz", half, "-o", "p.npz"), "m.npz: not a whole .npz file")
    assert not Path("p.npz").exists()


def patched(content: bytes, name: str, **fields: int) -> bytes:
    """Return an archive in which the headers of a member say something else."""
    changed = bytearray(content)
    local, central = {"flags": 6, "method": 8}, {"flags": 8, "method": 10}
    sizes = {"compressed": (18, 20), "size": (22, 24)}
    for signature, offsets, which, name_at in (
        (b"PK\x03\x04", local, 0, 30),
        (b"PK\x01\x02", central, 1, 46),
    ):
        position = -1
        while (position := content.find(signature, position + 1)) >= 0:
            if content[position + name_at :].startswith(name.encode()):
                for field, value in fields.items():
                    if field in offsets:
                        struct.pack_into("<H", changed, position + offsets[field], value)
                    else:
                        struct.pack_into("<I", changed, position + sizes[field][which], value)
    return bytes(changed)


def bomb(claimed: int) -> bytes:
    """Return an archive of one member of zeros, whose .npy header claims so many bytes."""
    start = npy_header(f"{{'descr':'|u1','fortran_order':False,'shape':({claimed},)}}\n", b"")
    return archive(("b.npy", start + b"\0" * 64), compression=zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """Return an archive in which two entries of the directory lead to the same bytes."""
    content = archive(("a.npy", npy(np.ones(4))), ("b.npy", npy(np.ones(4))))
    changed = bytearray(content)
    second = content.find(b"PK\x01\x02", content.find(b"PK\x01\x02") + 1)
    struct.pack_into("<I", changed, second + 42, 0)
    return bytes(changed)


PLAIN = archive((f"{WEIGHT}.npy", npy(np.ones((2, 2)))), ("b.npy", npy(np.ones((2, 2)))))
ARCHIVES: dict[str, bytes] = {
    "encrypted": patched(PLAIN, "b.npy", flags=1),
    "strongly_encrypted": patched(PLAIN, "b.npy", flags=0x41),
    "patched_data": patched(PLAIN, "b.npy", flags=0x20),
    "bzip2": archive(("b.npy", npy(np.ones(9))), compression=zipfile.ZIP_BZIP2),
    "lzma": archive(("b.npy", npy(np.ones(9))), compression=zipfile.ZIP_LZMA),
    "unknown_method": patched(PLAIN, "b.npy", method=97),
    "stored_that_claims": patched(PLAIN, "b.npy", size=1 << 31),
    "stored_beyond": patched(PLAIN, "b.npy", size=1 << 20, compressed=1 << 20),
    "deflated_that_claims": patched(bomb(1 << 30), "b.npy", size=(1 << 30) + 72),
    "deflated_a_bit_more": patched(bomb(1 << 20), "b.npy", size=(1 << 20) + 72),
    "twice": archive(("b.npy", npy(np.ones(4))), ("b.npy", npy(np.ones(4)))),
    "overlapping": overlapping(),
    "no_directory": PLAIN[:-30],
    "text": b"not an archive",
    "one_array": npy(np.ones((2, 2))),
    "nothing": b"",
    "empty_archive_cut": archive()[:-1],
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_numpy_never_writes_is_refused(run, half, case):
    Path("m.npz").write_bytes(ARCHIVES[case])
    assert_refused(run("inspect", "m.npz"), "m.npz: ")
    assert_refused(run("prune", "m.npz", half, "-o", "p.npz"), "m.npz: ")


def test_zeros_that_compress_well_are_read(run):
    np.savez_compressed("m.npz", **{WEIGHT: np.zeros((1000, 1000))})
    assert run("inspect", "m.npz", "--json").json["sparsity"] == 1.0


def test_a_wrong_checksum_is_found_in_what_is_read_and_in_what_is_copied(run, half):
    for name in (WEIGHT, "fc.bias"):
        np.savez("m.npz", **{WEIGHT: np.ones((2, 2)), "fc.bias": np.full(4, 7.0)})
        content = Path("m.npz").read_bytes()
        wanted = np.ones(4).tobytes() if name == WEIGHT else np.full(4, 7.0).tobytes()
        other = np.full(4, 3.0).tobytes()
        Path("m.npz").write_bytes(content.replace(wanted, other))
        assert_refused(run("prune", "m.npz", half, "-o", "p.npz"), name)
        assert not Path("p.npz").exists()


def test_other_members_and_all_versions_of_arrays_are_copied(run, half):
    members = [(f"{WEIGHT}.npy", npy(np.ones((2, 2)), (2, 0))), ("b.npy", npy(np.ones(3), (3, 0))),
               ("readme.txt", b"text"), ("folder/", b"")]  # fmt: skip
    Path("m.npz").write_bytes(archive(*members))
    assert run("prune", "m.npz", half, "-o", "p.npz").code == 0
    with zipfile.ZipFile("p.npz") as file:
        assert file.namelist() == [name for name, _ in members]
        assert file.read("readme.txt") == b"text"


# PyTorch's state dicts


def odd_tensors() -> dict[str, Callable[[], object]]:
    import torch

    return {
        "sparse_coo": lambda: torch.eye(4).to_sparse(),
        "sparse_csr": lambda: torch.eye(4).to_sparse_csr(),
        "meta": lambda: torch.empty(4, 4, device="meta"),
        "quantized": lambda: torch.quantize_per_tensor(torch.ones(4, 4), 0.1, 0, torch.qint8),
        "expanded": lambda: torch.ones(1).expand(1 << 20, 1 << 20),
        "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "float8": lambda: torch.ones(4, 4).to(torch.float8_e4m3fn),
        "complex": lambda: torch.ones(4, 4, dtype=torch.complex64),
        "bits": lambda: torch.ones(4, 4, dtype=torch.bool),
        "negated": lambda: torch.ones(4, 4, dtype=torch.complex64).conj().imag,
    }


@pytest.mark.framework
@pytest.mark.parametrize("case", ["sparse_coo", "sparse_csr", "meta", "quantized", "expanded",
                                  "nested", "float8", "complex", "bits", "negated"])  # fmt: skip
def test_a_tensor_without_plain_values_is_left_dense_or_refused(run, half, case):
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some of these are beta
        tensor = odd_tensors()[case]()
        torch.save({"fc.weight": torch.ones(4, 4), "odd.weight": tensor}, "m.pt")
    np.savez("other.npz", **{"odd.weight": np.ones((4, 4)), "fc.weight": np.ones((4, 4))})
    for words in (["inspect", "m.pt"], ["plan", half, "m.pt"], ["diff", "other.npz", "m.pt"],
                  ["diff", "m.pt", "other.npz"]):  # fmt: skip
        outcome = run(*words)
        if outcome.code:
            assert_refused(outcome, "m.pt: ")


# Names


NAMES = ["\ud800.weight", "a\x1b[31m.weight", "a\nb.weight", "\u202eabc.weight", ".weight",
         "x" * 1_000_000 + ".weight", "é😀.weight",
         "[bold]a[/bold].weight", "%s{0}.weight"]  # fmt: skip


@pytest.mark.framework
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[:20])
@pytest.mark.parametrize("words", [["inspect"], ["inspect", "--json"], ["plan"], ["diff"]])
def test_every_name_can_be_shown(run, half, name, words):
    torch = pytest.importorskip("torch")
    torch.save({name: torch.ones(2, 2), "fc.weight": torch.ones(2, 2)}, "m.pt")
    np.savez("other.npz", **{"fc.weight": np.ones((2, 2))})
    files = {"plan": [half, "m.pt"], "diff": ["m.pt", "other.npz"]}.get(words[0], ["m.pt"])
    outcome = run(*words, *files)
    if outcome.code:
        assert_refused(outcome, "")
        return
    if "--json" in words:
        first = json.loads(outcome.out)["weights"][0]["name"]
        assert first.startswith(name.removesuffix(".weight"))
        return
    assert len(outcome.out) < 20_000
    assert all(character.isprintable() for line in outcome.out.splitlines() for character in line)


def test_a_message_about_a_long_name_is_short(run, half):
    np.savez("m.npz", **{"x" * 60_000: np.full((2, 2), np.nan)})
    outcome = run("prune", "m.npz", half, "-o", "p.npz")
    assert_refused(outcome, "xxx")


def test_a_message_about_many_tensors_is_short(run):
    np.savez("m.npz", **{f"layer{n}.weight": np.ones((2, 2)) for n in range(300)})
    outcome = run("inspect", "m.npz", "--kind", "nothing*=dense")
    assert_refused(outcome, "and 292 more")
    assert len(outcome.err) < 500


def test_the_formats_are_those_that_are_tested_here():
    assert set(SUFFIXES) == {".npz", ".safetensors"}
