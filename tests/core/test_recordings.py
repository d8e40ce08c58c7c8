"""Recordings: the masks of a run at every update, resumed runs, and files that are none."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pytest

import secateur
from secateur.errors import PluginError, RecordingError
from secateur.recording.plane import MOST_BITS, Plane

pytestmark = pytest.mark.filterwarnings("ignore::secateur.errors.ScheduleWarning")

GROW = {"kind": "polynomial", "final_sparsity": 0.75, "end_step": 8, "frequency": 2}
POLICY = {
    "schedule": GROW,
    "rules": [
        {"match": {"name": "stem*"}, "prune": False},
        {"match": {"name": "lstm*"}, "schedule": {"kind": "constant", "final_sparsity": 0.5}},
        {"match": {"kind": "conv"}, "pattern": {"kind": "block", "out": 2, "in": 1}},
        {},
    ],
}


def model() -> dict[str, object]:
    rng = np.random.default_rng(0)
    return {
        "stem": rng.normal(size=(4, 3)).astype(np.float32),
        "conv": rng.normal(size=(8, 3, 3, 3)).astype(np.float32),
        "lstm": (rng.normal(size=(4, 6, 5)).astype(np.float16), "rnn"),
        "fc": rng.normal(size=(10, 72)),
    }


class Masks:
    """What a recording must hold, kept as plain arrays."""

    def __init__(self) -> None:
        self.seen: dict[str, list[tuple[int, np.ndarray]]] = {}

    def secateur_masks_updated(self, event: secateur.MasksUpdated) -> None:
        for name, mask in event.masks.items():
            self.seen.setdefault(name, []).append((event.step, mask.copy()))


def run(recorder, steps: int = 10, weights=None) -> tuple[secateur.Pruner, Masks]:
    masks = Masks()
    weights = model() if weights is None else weights
    pruner = secateur.attach(weights, POLICY, observers=[recorder, masks])
    pruner.step()
    for _ in range(steps - 1):
        pruner.step()
    return pruner, masks


def assert_same(path, masks: Masks) -> None:
    recording = secateur.Recording.load(path)
    for name, seen in masks.seen.items():
        found = list(recording.masks(name))
        assert [update.step for update, _ in found] == [step for step, _ in seen]
        for (update, plane), (_, mask) in zip(found, seen, strict=True):
            np.testing.assert_array_equal(plane.reshape(-1), mask.reshape(-1))
            assert update.kept == mask.sum()


def test_a_recording_holds_every_mask_and_what_it_is_of(tmp_path):
    _, masks = run(secateur.Recorder(tmp_path / "run.npz"))
    assert_same(tmp_path / "run.npz", masks)
    recording = secateur.Recording.load(tmp_path / "run.npz")
    assert recording.steps == (0, 2, 4, 6, 8)
    assert recording.adapter == "numpy"
    assert secateur.Policy.parse(recording.policy).fingerprint == recording.fingerprint
    assert recording.versions["numpy"] == np.__version__
    stem, conv, lstm, fc = recording.weights.values()
    assert (stem.method, stem.tile, recording.updates("stem")) == (None, None, ())
    assert (conv.tile, conv.plane) == ((2, 1, 1, 1), Plane(8, 27, 8, 27))
    assert (lstm.plane, lstm.dtype, lstm.raw_bytes) == (Plane(24, 5, 24, 5), "float16", 240)
    assert fc.method["schedule"]["end_step"] == 8
    assert fc.deflated < fc.raw_bytes
    update = recording.updates("fc")[-1]
    assert (update.sparsity, update.target) == (0.75, 0.75)
    values = np.abs(model()["fc"][masks.seen["fc"][-1][1]])
    assert update.threshold == values.min()
    assert update.histogram.sum() == masks.seen["fc"][-2][1].sum()  # the others are zero already
    assert recording.sparsities[8] == 1 - (12 + 54 + 60 + 180) / (12 + 216 + 120 + 720)


def test_the_recording_takes_at_most_a_bit_for_each_weight_and_update(tmp_path):
    weights = {"fc": np.random.default_rng(0).normal(size=(512, 512))}
    schedule = {"kind": "linear", "final_sparsity": 1.0, "end_step": 20, "frequency": 1}
    path = tmp_path / "run.npz"
    pruner = secateur.attach(weights, {"schedule": schedule}, observers=[secateur.Recorder(path)])
    for _ in range(20):
        pruner.step()
    assert path.stat().st_size < 21 * (512 * 512 / 8 + 300) + 8192
    assert secateur.Recording.load(path).updates("fc")[-1].threshold is None


def test_of_a_large_weight_evenly_spaced_rows_are_recorded(tmp_path):
    weights = {"fc": np.random.default_rng(0).normal(size=(3 * 2048, 1024)).astype(np.float16)}
    half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    recorder = secateur.Recorder(tmp_path / "run.npz")
    report = secateur.prune(weights, half, observers=[recorder])
    plane = recorder.recording.weights["fc"].plane
    assert plane.size == MOST_BITS
    [(update, mask)] = secateur.Recording.load(tmp_path / "run.npz").masks("fc")
    np.testing.assert_array_equal(mask, report.masks["fc"][plane.row_indices])
    assert update.kept == 3 * 2048 * 1024 // 2


def test_a_resumed_run_goes_on_with_its_recording(tmp_path):
    whole, halves, state = tmp_path / "whole.npz", tmp_path / "halves.npz", tmp_path / "state.npz"
    run(secateur.Recorder(whole))
    weights = model()
    pruner, _ = run(secateur.Recorder(halves), 3, weights)
    pruner.save(state)
    pruner.step()  # recorded, and lost by the crash that follows
    pruner.detach()
    recorder = secateur.Recorder(halves, if_exists="resume")
    pruner = secateur.attach(model(), POLICY, observers=[recorder])
    pruner.load(state)
    for _ in range(7):
        pruner.step()
    one, other = secateur.Recording.load(whole), secateur.Recording.load(halves)
    assert one.history == other.history


def test_a_recording_that_begins_in_the_middle_says_so(tmp_path):
    pruner, _ = run(secateur.Recorder(tmp_path / "first.npz"), 5)
    state = pruner.state_dict()
    pruner.detach()
    recorder = secateur.Recorder(tmp_path / "second.npz", if_exists="resume")
    pruner = secateur.attach(model(), POLICY, observers=[recorder])
    pruner.load_state_dict(state)
    pruner.step()
    steps = {(update.step, update.resumed) for update in recorder.recording.updates("fc")}
    assert steps == {(5, True), (6, False)}


def test_a_recording_is_never_lost_by_accident(tmp_path):
    path = tmp_path / "run.npz"
    pruner, _ = run(secateur.Recorder(path), 2)
    pruner.detach()
    with pytest.raises(RecordingError, match=r'up to step 2; pass if_exists="resume" to'):
        secateur.Recorder(path)
    with pytest.raises(RecordingError, match="if_exists='append': wanted one of refuse, resume"):
        secateur.Recorder(path, if_exists="append")
    recorder = secateur.Recorder(path, if_exists="resume")
    half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    weights = model()
    with pytest.raises(
        RecordingError, match=r"run.npz: records a run by policy \w{12}, not \w{12}"
    ):
        secateur.prune(weights, half, observers=[recorder])
    np.testing.assert_array_equal(weights["fc"], model()["fc"])
    with pytest.raises(RecordingError, match="another model: fc differ"):
        secateur.attach({**weights, "fc": np.eye(8)}, POLICY, observers=[recorder])
    np.savez(tmp_path / "model.npz", weight=np.eye(3))
    with pytest.raises(RecordingError, match=r"model.npz: not a recording: a secateur.Recorder w"):
        secateur.Recorder(tmp_path / "model.npz", if_exists="replace")


def test_a_recorder_records_one_run_and_an_observer_only_its_own(tmp_path):
    recorder = secateur.Recorder(tmp_path / "run.npz")
    pruner, _ = run(recorder, 2)
    other = secateur.attach(model(), POLICY)
    other.step(8)
    assert recorder.recording.steps == (0, 2)
    with pytest.raises(RecordingError, match=r"run.npz: records another run already; make a"):
        secateur.attach(model(), POLICY, observers=[recorder])
    with pytest.raises(PluginError, match=r"observers: <class .*> is no observer; wanted objects"):
        secateur.attach(model(), POLICY, observers=[secateur.Recorder])
    pruner.detach()
    other.detach()


def test_a_run_that_failed_at_its_first_update_is_recorded_when_it_is_tried_again(tmp_path):
    class Failing:
        def secateur_masks_updated(self, event):
            raise RuntimeError("the network is down")

    recorder = secateur.Recorder(tmp_path / "run.npz")
    half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    with pytest.raises(PluginError, match=r"observer .*Failing, step 0.*the network is down; noth"):
        secateur.prune(model(), half, observers=[recorder, Failing()])
    report = secateur.prune(model(), half, observers=[recorder])
    [(_, mask)] = secateur.Recording.load(tmp_path / "run.npz").masks("fc")
    np.testing.assert_array_equal(mask, report.masks["fc"])


def rewritten(path, change) -> None:
    """Write the arrays of a recording again, some of them changed."""
    with np.load(path) as file:
        arrays = dict(file)
    header = json.loads(arrays["recording"].tobytes())
    change(arrays, header)
    arrays["recording"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **arrays)


def arrays_of(change):
    return lambda arrays, header: change(arrays)


def header_of(change):
    return lambda arrays, header: change(header)


def plane_of(**values):
    return header_of(lambda header: header["weights"][1]["plane"].update(values))


@pytest.mark.parametrize(
    "change",
    [
        arrays_of(lambda arrays: arrays.update(steps=arrays["steps"][::-1])),
        arrays_of(lambda arrays: arrays.update(weights=arrays["weights"] + 9)),
        arrays_of(lambda arrays: arrays.update(ends=arrays["ends"] + 1)),
        arrays_of(lambda arrays: arrays.update(kept=arrays["kept"] + 10**6)),
        arrays_of(lambda arrays: arrays.update(targets=arrays["targets"] + np.nan)),
        arrays_of(lambda arrays: arrays.update(kept=arrays["kept"].astype(float))),
        arrays_of(lambda arrays: arrays.update(histograms=arrays["histograms"][:, :2])),
        arrays_of(lambda arrays: arrays.pop("bits")),
        header_of(lambda header: header.update(format=2)),
        header_of(lambda header: header.update(versions=[])),
        header_of(lambda header: header["weights"][1].update(dtype="object")),
        header_of(lambda header: header["weights"][1].update(tile=[0, 1, 1, 1])),
        header_of(lambda header: header["weights"][1].update(method={})),
        header_of(lambda header: header["weights"].append(header["weights"][0])),
        plane_of(shown_rows=10**6),
        plane_of(rows=10**9, columns=0, shown_rows=10**9, shown_columns=0),
        plane_of(rows=10**6, columns=10**6, shown_rows=10**6, shown_columns=10**6),
    ],
)
def test_a_recording_that_was_tampered_with_is_refused(tmp_path, change):
    path = tmp_path / "run.npz"
    run(secateur.Recorder(path), 2)
    rewritten(path, change)
    with pytest.raises(RecordingError, match=r"^[^\n]*run.npz: [^\n]{,400}$"):
        secateur.Recording.load(path)


def test_masks_that_do_not_inflate_to_their_size_are_refused_when_they_are_read(tmp_path):
    path = tmp_path / "run.npz"
    run(secateur.Recorder(path), 2)
    rewritten(path, plane_of(rows=2**12, columns=2**12, shown_rows=2**12, shown_columns=2**12))
    recording = secateur.Recording.load(path)
    with pytest.raises(RecordingError, match=r"'conv', step 0: a mask .* the file is damaged"):
        list(recording.masks("conv"))
    with pytest.raises(RecordingError, match=r"no weight 'cnv' was recorded: did you mean 'conv'"):
        list(recording.masks("cnv"))


def test_what_is_no_file_of_a_recording_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("not a zip")
    np.savez_compressed(tmp_path / "bomb.npz", bits=np.zeros(10**7, np.uint8))
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    os.mkfifo(tmp_path / "fifo.npz")
    for name in ("text", "bomb", "empty", "fifo", "missing"):
        with pytest.raises(RecordingError, match=rf"{name}.npz: "):
            secateur.Recording.load(tmp_path / f"{name}.npz")
