"""A state that no run can have come to is refused, and nothing is changed."""

from __future__ import annotations

import io
import json
import os
import threading
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import secateur
from secateur.errors import ScheduleWarning, StateError
from secateur.run.saved.state import MOST_STEPS

WHEN = {"monitor": "loss", "window": 2, "min_delta": 0.1}
POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.5, "end_step": 4, "frequency": 1},
    "rules": [
        {"match": {"name": "w"}},
        {
            "match": {"name": "v"},
            "schedule": {
                "kind": "constant",
                "final_sparsity": 0.5,
                "begin_step": 2,
                "frequency": 1,
                "begin_when": WHEN,
            },
        },
        {"match": {"name": "x"}, "prune": False},
        {"match": {"name": "y"}, "schedule": {"kind": "one_shot", "final_sparsity": 0.25}},
    ],
}


def attached(seed=0):
    generator = np.random.default_rng(seed)
    shapes = {"w": (5, 8), "v": (6, 6), "x": (3, 3), "y": (4, 4)}
    weights = {name: generator.standard_normal(shape) for name, shape in shapes.items()}
    return secateur.attach(weights, POLICY), weights


def stepped(steps, losses=()):
    pruner, _ = attached()
    for _, loss in zip(
        range(steps), [*losses, *[9.0 - step for step in range(steps)]], strict=False
    ):
        pruner.observe(loss=loss)
        pruner.step()
    return pruner


def state_of(pruner):
    return dict(pruner.state_dict())


def meta_of(state):
    return json.loads(state["secateur"].tobytes())


def with_meta(state, **changes):
    meta = meta_of(state) | changes
    text = json.dumps({k: v for k, v in meta.items() if v is not ...}).encode()
    return {**state, "secateur": np.frombuffer(text, np.uint8)}


def assert_refused(state, match=None):
    pruner, weights = attached(seed=1)
    pruner.step()
    values = {name: array.copy() for name, array in weights.items()}
    masks = {name: mask.copy() for name, mask in pruner.masks.items()}
    with pytest.raises(StateError, match=match) as refused:
        pruner.load_state_dict(state)
    assert len(str(refused.value)) < 1500
    assert pruner.current_step == 1
    assert masks.keys() == pruner.masks.keys()
    for name in weights:
        np.testing.assert_array_equal(weights[name], values[name])
    for name in masks:
        np.testing.assert_array_equal(pruner.masks[name], masks[name])
    pruner.step()
    assert pruner.report().weights[0].kept == 30


def test_a_state_of_every_step_is_accepted():
    for steps in range(8):
        for losses in ((), (1.0,) * 8):
            pruner, _ = attached(seed=2)
            saved = stepped(steps, losses)
            pruner.load_state_dict(state_of(saved))
            assert pruner.current_step == steps
            assert repr(pruner) == repr(saved)
            assert pruner.report().notes == saved.report().notes


@pytest.mark.parametrize(
    "step",
    [
        *(2**63 - 1, MOST_STEPS, -1, np.nan, 1.5, 2.0, True, "3", None, [2], [[2]], b"2", 1j),
        *(np.uint64(2**64 - 1), np.array([1, 2]), np.array(None), np.datetime64("2026-01-01")),
    ],
)
def test_what_is_no_step_is_refused(step):
    assert_refused(state_of(stepped(2)) | {"step": step})


def test_the_last_step_is_accepted_and_nothing_is_walked():
    pruner, _ = attached()
    state = with_meta(state_of(stepped(5, (1.0,) * 5)), began={"2": 4})
    pruner.load_state_dict({**state, "step": np.int64(MOST_STEPS - 2)})
    pruner.step()
    pruner.report()
    assert pruner.current_step == MOST_STEPS - 1
    with pytest.raises(StateError, match=r"2\*\*62"):
        pruner.step()
    assert int(pruner.state_dict()["step"]) == MOST_STEPS - 1


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"shapes": {}, "waiting": []}, "knows nothing of w, v, y"),
        ({"shapes": {"w": [5, 8]}, "waiting": []}, "knows nothing of v, y"),
        ({"waiting": ["w", "v", "y"]}, "no mask for w"),
        ({"waiting": ["v", "y"]}, "no mask for y"),
        ({"waiting": ["nothing", "v"]}, "nothing"),
        ({"waiting": "v"}, "list"),
        ({"waiting": [1]}, None),
        ({"waiting": None}, None),
        ({"shapes": []}, None),
        ({"shapes": None}, None),
        ({"began": {"1": 1}}, "rule 1.*no begin_when"),
        ({"began": {"3": 1}}, "rule 3"),
        ({"began": {"77": 1}}, "rule 77"),
        ({"began": {"2": 1}}, "at step 2|at the earliest|at step 1"),
        ({"began": {"2": 3}}, "at step 3"),
        ({"began": {"2": -1}}, "step -1"),
        ({"began": {"2": 2.0}}, "step 2.0"),
        ({"began": {"2": True}}, "step True"),
        ({"began": {"2": "2"}}, "step '2'"),
        ({"began": {"2": None}}, "step None"),
        ({"began": {"2": 2**70}}, "step"),
        ({"began": {"-2": 2}}, "rule"),
        ({"began": {"2 ": 2}}, "rule"),
        ({"began": {"\u0662": 2}}, "rule"),
        ({"began": {"9" * 3000: 2}}, "rule"),
        ({"began": [2]}, "dict"),
        ({"observed": {"1": [1.0]}}, "rule 1"),
        ({"observed": {"2": [1.0] * 5}}, "5 observed values"),
        ({"observed": {"2": ["1.0"]}}, "monitored value"),
        ({"observed": {"2": [True]}}, "monitored value"),
        ({"observed": {"2": [None]}}, "monitored value"),
        ({"observed": {"2": [10**400]}}, "monitored value"),
        ({"observed": {"2": 1.0}}, "list"),
        ({"observed": {"2": {"0": 1.0}}}, "list"),
        ({"observed": {"2": [1.0], "began": 2}}, "rule"),
        ({"evaluated": 3}, "later"),
        ({"evaluated": -1}, "step"),
        ({"evaluated": 1.0}, "step"),
        ({"evaluated": True}, "step"),
        ({"evaluated": "1"}, "step"),
        ({"format": True}, "format"),
        ({"format": 1.0}, "format"),
        ({"format": "1"}, "format"),
        ({"format": 2}, "format 2"),
        ({"format": 10**1000}, "format"),
        ({"format": ...}, "format"),
        ({"fingerprint": 3}, "str"),
        ({"fingerprint": ...}, "fingerprint"),
        ({"fingerprint": "\ud800" * 5000}, "policy"),
        ({"shapes": {"w": [5, 8], "w:kernel": [5, 8], "v": [6, 6], "y": [4, 4]}}, None),
        ({"shapes": {"w": [True, 40], "v": [6, 6], "y": [4, 4]}}, "shape"),
        ({"shapes": {"w": [5] + [1] * 100 + [8], "v": [6, 6], "y": [4, 4]}}, "shape"),
        ({"shapes": {"w": "58", "v": [6, 6], "y": [4, 4]}}, None),
        ({"shapes": {"w": [8, 5], "v": [6, 6], "y": [4, 4]}}, "does not fit this plan"),
        ({"shapes": {"x": [3, 3], "w": [5, 8], "v": [6, 6], "y": [4, 4]}}, None),
        ({"shapes": {"\ud800": [5, 8], "v": [6, 6], "y": [4, 4]}}, None),
    ],
)
def test_what_no_run_can_have_come_to_is_refused(changes, match):
    state = with_meta(state_of(stepped(2)), **changes)
    state |= {"mask/w:kernel": state["mask/w"], "mask/x": np.zeros(2, np.uint8)}
    assert_refused(state, match)


def test_two_names_of_one_weight_are_two_masks():
    state = state_of(stepped(2))
    shapes = meta_of(state)["shapes"] | {"w:kernel": [5, 8]}
    assert_refused(
        {**with_meta(state, shapes=shapes), "mask/w:kernel": state["mask/w"]}, "two masks for w"
    )


def test_values_observed_after_a_schedule_began_are_refused():
    state = state_of(stepped(6, (1.0,) * 6))
    assert meta_of(state)["began"] == {"2": 4}
    assert_refused(with_meta(state, observed={"2": [1.0]}), "observed")
    assert_refused(with_meta(state, began={}, observed={"2": [1.0] * 5}), "observed")


@pytest.mark.parametrize("state", [None, 3, "state", [], [("step", 1)], {}, {"step": 1}, {1: 2}])
def test_what_is_no_state_at_all_is_refused(state):
    assert_refused(state, "not a pruning state")


@pytest.mark.parametrize(
    "stored", [None, 3, "text", np.zeros(3), np.zeros((3, 3), np.uint8), np.zeros(5, bool), [1, 2]]
)
@pytest.mark.parametrize("key", ["secateur", "mask/w"])
def test_arrays_of_another_kind_are_refused(key, stored):
    assert_refused(state_of(stepped(2)) | {key: stored})


@given(st.data())
@settings(max_examples=2 * settings().max_examples)
def test_whatever_stands_in_the_json_is_refused_or_is_a_state(data):
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["1", "2", "w", "v", "y", ""]), inner, max_size=3)
        ),
        max_leaves=5,
    )
    keys = ["format", "fingerprint", "shapes", "waiting", "began", "observed", "evaluated"]
    changes = data.draw(st.dictionaries(st.sampled_from(keys), json_values, min_size=1))
    pruner, weights = attached()
    try:
        pruner.load_state_dict(with_meta(state_of(stepped(2)), **changes))
    except StateError:
        assert pruner.current_step == 0
    else:
        assert pruner.current_step == 2
        pruner.step()
        kept = {weight.name: weight.kept for weight in pruner.report().weights}
        assert kept["w"] == np.count_nonzero(pruner.masks["w"])
        assert not weights["w"][~pruner.masks["w"]].any()


def test_masks_that_are_less_sparse_than_their_step_says_are_told():
    state = state_of(stepped(2, (1.0,) * 9)) | {"step": 9}
    pruner, _ = attached()
    pruner.load_state_dict(
        with_meta(state, began={"2": 2}, observed={}, waiting=[]) | {"mask/v": all_kept(36)}
    )
    notes = pruner.report().notes
    assert "rule 1: the schedule has come to sparsity 0.25 at step 9; its final" in notes[0]
    assert "rule 2: the schedule has come to sparsity 0 at step 9; its final" in notes[1]
    with pytest.warns(ScheduleWarning) as caught:
        pruner.detach()
    assert [str(warning.message) for warning in caught] == list(notes)


def all_kept(size):
    return np.packbits(np.ones(size, bool))


PATTERNS = [
    {"kind": "unstructured"},
    {"kind": "block", "out": 4, "in": 3},
    {"kind": "block", "out": 1, "in": 7, "pooling": "max"},
    {"kind": "channel"},
    {"kind": "channel", "axis": "in"},
]


@pytest.mark.parametrize("distribution", ["uniform", "erk", "global", "lamp"])
@pytest.mark.parametrize("pattern", [*PATTERNS, {"kind": "n_m", "keep": 2, "of": 4}], ids=str)
def test_masks_that_are_right_are_known_to_be_by_their_groups(pattern, distribution):
    schedule = {"kind": "constant", "final_sparsity": 0.7, "frequency": 5}
    if pattern["kind"] == "n_m":
        schedule["final_sparsity"] = 0.5
    rules = [{"match": {}, "pattern": pattern}]
    if pattern["kind"] != "n_m":
        rules[0]["distribution"] = distribution
    policy = {"schedule": schedule, "rules": rules}

    def weights():
        generator = np.random.default_rng(0)
        shapes = {"w": (13, 10), "c": (7, 5, 3, 3), "d": (2, 2)}
        return {name: generator.standard_normal(shape) for name, shape in shapes.items()}

    saved = secateur.attach(weights(), policy)
    state = saved.state_dict()
    pruner = secateur.attach(weights(), policy)
    pruner.load_state_dict(state)
    assert pruner.report().notes == ()
    pruner.load_state_dict({**state, "mask/w": all_kept(130), "mask/c": all_kept(315)} | small())
    assert "its final sparsity is" in pruner.report().notes[0]


def small():
    return {"mask/d": all_kept(4)}


def saved_file(tmp_path):
    path = tmp_path / "state.npz"
    stepped(2).save(path)
    return path


def assert_file_refused(path, match=None):
    pruner, _ = attached()
    with pytest.raises(StateError, match=match):
        pruner.load(path)
    assert pruner.current_step == 0


def test_a_fifo_a_device_and_a_folder_are_no_files_of_a_state(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "itself").symlink_to(tmp_path / "itself")
    for path in (tmp_path / "fifo", tmp_path / "zero", tmp_path, tmp_path / "itself"):
        done = threading.Thread(target=assert_file_refused, args=(path,), daemon=True)
        done.start()
        done.join(20)
        assert not done.is_alive(), path
    assert_file_refused(tmp_path / "fifo", "not a pruning state file")


def test_a_link_to_a_state_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(saved_file(tmp_path))
    pruner, _ = attached()
    pruner.load(str(tmp_path / "link"))
    assert pruner.current_step == 2


@pytest.mark.parametrize("path", [None, 3, b"state.npz", "\0", "a" * 5000, ["state.npz"]])
def test_what_is_no_path_is_refused(path):
    pruner, _ = attached()
    with pytest.raises(StateError):
        pruner.load(path)


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def written(path, content, **settings):
    with zipfile.ZipFile(path, "w", **settings) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def array_bytes(shape, content, descr="|u1", write=np.lib.format.write_array_header_1_0):
    file = io.BytesIO()
    write(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + content


@pytest.mark.parametrize(
    "array",
    [
        array_bytes((1 << 60,), bytes(5)),
        array_bytes((0, 1 << 62), b""),
        array_bytes((5,), bytes(4)),
        array_bytes((5,), bytes(6)),
        array_bytes((), bytes(40), "|O"),
        array_bytes((1,) * 70, bytes(1)),
        array_bytes((5,), bytes(5), "|V1"),
        array_bytes((5,), bytes(5), write=np.lib.format.write_array_header_2_0),
        array_bytes((-5,), bytes(5)),
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
    ],
)
def test_a_member_that_lies_is_refused(array, tmp_path):
    content = members(saved_file(tmp_path))
    assert_file_refused(written(tmp_path / "bad.npz", content | {"mask/w.npy": array}))


def test_members_that_share_bytes_or_names_are_refused(tmp_path):
    content = members(saved_file(tmp_path))
    path = tmp_path / "bad.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
        (info,) = [info for info in archive.infolist() if info.filename == "mask/w.npy"]
        for number in range(500):  # all of them the same bytes of the file
            twin = zipfile.ZipInfo(f"mask/{number}.npy")
            for field in ("header_offset", "file_size", "compress_size", "CRC"):
                setattr(twin, field, getattr(info, field))
            twin.file_size = twin.compress_size = 1 << 20
            archive.filelist.append(twin)
            archive.NameToInfo[twin.filename] = twin
    assert_file_refused(path, "larger than the file")
    twins = written(path, content | {"stev.npy": content["step.npy"]}).read_bytes()
    path.write_bytes(twins.replace(b"stev.npy", b"step.npy"))
    assert_file_refused(path, "one name")


@pytest.mark.parametrize("flag", [0x1, 0x20, 0x40])
def test_an_encrypted_or_patched_member_is_refused(flag, tmp_path):
    path = saved_file(tmp_path)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        data[data.index(signature) + offset] |= flag
    path.write_bytes(data)
    assert_file_refused(path)


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_could_swell_is_refused(kind, tmp_path):
    content = members(saved_file(tmp_path))
    assert_file_refused(written(tmp_path / "z.npz", content, compression=kind), "compressed")


def test_the_arrays_have_the_same_names_and_lengths_throughout_a_run():
    pruner, weights = attached()
    lengths = []
    for step in range(8):
        lengths.append({key: np.shape(value) for key, value in pruner.state_dict().items()})
        pruner.observe(loss=[1e-300 / 3, -np.inf, np.nan][step % 3] if step < 3 else 1.0)
        if step == 6:
            largest = np.unravel_index(abs(weights["v"]).argmax(), (6, 6))
            kept, weights["v"][largest] = weights["v"][largest], np.nan
            with pytest.raises(secateur.WeightError):
                pruner.step()
            lengths.append({key: np.shape(value) for key, value in pruner.state_dict().items()})
            weights["v"][largest] = kept
        pruner.step()
    assert all(each == lengths[0] for each in lengths)
    assert lengths[0]["secateur"][0] < 2000
