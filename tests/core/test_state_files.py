"""State files: a round trip, and every hostile or damaged file is a StateError."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import secateur
from secateur.errors import StateError

POLICY = {"schedule": {"kind": "linear", "final_sparsity": 0.5, "end_step": 4, "frequency": 1}}


def attached(seed=0):
    weight = np.random.default_rng(seed).standard_normal((5, 7))
    return secateur.attach({"w": weight}, POLICY), weight


@pytest.fixture
def saved(tmp_path):
    pruner, _ = attached()
    pruner.step(2)
    path = tmp_path / "state.npz"
    pruner.save(path)
    return path


def rewritten(path, **changes):
    """The file with some arrays replaced; None leaves one out."""
    with np.load(path) as arrays:
        content = dict(arrays) | changes
    np.savez(path, **{name: array for name, array in content.items() if array is not None})
    return path


def meta_of(path):
    with np.load(path) as arrays:
        return json.loads(arrays["secateur"].tobytes())


def with_meta(path, **changes):
    text = json.dumps(meta_of(path) | changes).encode()
    return rewritten(path, secateur=np.frombuffer(text, np.uint8))


def assert_refused(path, match="state|damaged|saved"):
    pruner, weight = attached()
    before, masks = weight.copy(), pruner.masks["w"].copy()
    with pytest.raises(StateError, match=match):
        pruner.load(path)
    np.testing.assert_array_equal(weight, before)
    np.testing.assert_array_equal(pruner.masks["w"], masks)
    assert pruner.current_step == 0


def test_a_saved_run_goes_on_where_it_stopped(saved):
    pruner, weight = attached(seed=1)
    pruner.load(saved)
    original, _ = attached()
    original.step(2)
    assert pruner.current_step == 2
    np.testing.assert_array_equal(pruner.masks["w"], original.masks["w"])
    assert (weight[~pruner.masks["w"]] == 0).all()
    assert pruner.report().sparsity == original.report().sparsity


@given(end=st.integers(0, 10_000))
@settings(max_examples=settings().max_examples // 2)
def test_a_truncated_file_is_refused(tmp_path_factory, end):
    pruner, _ = attached()
    path = tmp_path_factory.mktemp("cut") / "state.npz"
    pruner.save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: min(end, len(whole) - 1)])
    assert_refused(path)


@given(place=st.integers(0, 10_000), flip=st.integers(1, 255))
@settings(max_examples=settings().max_examples // 2)
def test_a_flipped_byte_is_refused_or_harmless(tmp_path_factory, place, flip):
    pruner, _ = attached()
    pruner.step(2)
    path = tmp_path_factory.mktemp("flip") / "state.npz"
    pruner.save(path)
    damaged = bytearray(path.read_bytes())
    damaged[place % len(damaged)] ^= flip
    path.write_bytes(bytes(damaged))
    other, _ = attached()
    try:
        other.load(path)
    except StateError:
        return
    np.testing.assert_array_equal(other.masks["w"], pruner.masks["w"])
    assert other.current_step == 2


def test_no_file(tmp_path):
    assert_refused(tmp_path / "none.npz", "no such file")


def test_a_directory(tmp_path):
    assert_refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x93NUMPY\x01\x00", b"text"])
def test_other_bytes(tmp_path, content):
    path = tmp_path / "state.npz"
    path.write_bytes(content)
    assert_refused(path)


def test_a_single_array(tmp_path):
    np.save(tmp_path / "state.npy", np.zeros(3))
    assert_refused(tmp_path / "state.npy", "not a pruning state")


def test_a_pickle_is_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the pickle was run",))

    (tmp_path / "state.npz").write_bytes(pickle.dumps(Trap()))
    assert_refused(tmp_path / "state.npz")


def test_a_pickled_array_inside_is_never_loaded(saved):
    assert_refused(rewritten(saved, step=np.array([{"a": 1}], object)))


@pytest.mark.parametrize("missing", ["step", "secateur", "mask/w"])
def test_a_missing_array(saved, missing):
    assert_refused(rewritten(saved, **{missing: None}), "not a pruning state")


@pytest.mark.parametrize(
    "step", [np.array(-1), np.array(1.5), np.array([1, 2]), np.array("3"), np.array(np.nan)]
)
def test_a_wrong_step(saved, step):
    assert_refused(rewritten(saved, step=step))


@pytest.mark.parametrize(
    "mask",
    [
        np.zeros(4, np.uint8),
        np.zeros(6, np.uint8),
        np.zeros(5, bool),
        np.zeros(5, np.int64),
        np.zeros((5, 1), np.uint8),
    ],
)
def test_a_mask_of_the_wrong_length_or_dtype(saved, mask):
    assert_refused(rewritten(saved, **{"mask/w": mask}), "w: the saved mask|damaged")


@pytest.mark.parametrize(
    "shape", [[7, 5], [35], [-5, -7], [1 << 62, 1 << 62], [5.5, 7], "57", None, [[5, 7]], []]
)
def test_a_wrong_shape(saved, shape):
    assert_refused(with_meta(saved, shapes={"w": shape}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 99},
        {"format": None},
        {"fingerprint": "0" * 64},
        {"shapes": {"other": [5, 7]}},
        {"shapes": 3},
        {"began": {"x": "y"}},
        {"observed": {"1": "text"}},
        {"observed": {"1": [None]}},
        {"began": [1]},
    ],
)
def test_wrong_metadata(saved, changes):
    assert_refused(with_meta(saved, **changes))


@pytest.mark.parametrize(
    "text", [b"", b"null", b"[]", b"{", b"\xff\xfe", b"[" * 100_000, b'"x"', b"{}"]
)
def test_metadata_that_is_not_ours(saved, text):
    assert_refused(rewritten(saved, secateur=np.frombuffer(text, np.uint8)))


@pytest.mark.slow
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "state.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 28,)}
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("step.npy", header.getvalue() + bytes(1 << 28))
    assert path.stat().st_size < 1 << 20
    assert_refused(path, "compressed")


def test_an_array_that_claims_more_than_the_file_holds(tmp_path):
    path = tmp_path / "state.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 60,)}
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("secateur.npy", header.getvalue() + bytes(100))
    assert_refused(path, "not a pruning state")


def test_a_failed_save_leaves_the_old_file(saved, monkeypatch):
    before = saved.read_bytes()
    pruner, _ = attached()
    with monkeypatch.context() as patch:
        patch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        patch.setattr("pathlib.Path.replace", lambda *_: (_ for _ in ()).throw(OSError("full")))
        with pytest.raises(OSError, match="full"):
            pruner.save(saved)
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
