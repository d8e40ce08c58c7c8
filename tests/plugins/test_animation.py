"""The animation of a recorded run: its frames, its formats, and its command."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import secateur
from secateur.cli import main
from secateur.recording import bits
from secateur_plots.animation import frames

pytestmark = pytest.mark.slow  # each draws


def recorded(path, *shape: int, updates: int = 6, name: str = "dense:kernel") -> secateur.Recording:
    """Record a run in which one weight is pruned, and another one stays dense."""
    rng = np.random.default_rng(0)
    model = {name: rng.normal(size=shape).astype(np.float32), "stem": np.eye(3)}
    grow = {"kind": "linear", "final_sparsity": 0.9, "end_step": updates - 1, "frequency": 1}
    rules = [{"match": {"name": "stem"}, "prune": False}, {}]
    recorder = secateur.Recorder(path)
    policy = {"schedule": grow, "rules": rules}
    pruner = secateur.attach(model, policy, observers=[recorder])
    for _ in range(updates - 1):
        pruner.step()
    pruner.detach()
    return recorder.recording


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["secateur", "animate", *words])
        with pytest.raises(SystemExit) as left:
            main()
        return int(left.value.code or 0), *capsys.readouterr()

    return command


def masks_of(path, margin: int = 12, caption: int = 46) -> list[np.ndarray]:
    """Return the frames of a file without what is around their masks, from 0 to 1."""
    with Image.open(path) as image:
        found = []
        for number in range(image.n_frames):
            image.seek(number)
            grey = np.asarray(image.convert("L"), float) / 255
            found.append(grey[margin : -margin - caption, margin:-margin])
    return found


@pytest.mark.parametrize("suffix", ["gif", "webp"])
def test_each_frame_shows_the_mask_of_one_update_with_its_density(tmp_path, run, suffix):
    recording = recorded(tmp_path / "run.npz", 600, 1800)
    file = tmp_path / f"pruning.{suffix}"
    code, out, _ = run("run.npz", "--weight", "dense:kernel", "-o", file.name)
    assert (code, out) == (0, f"6 frames of dense:kernel written to pruning.{suffix}\n")
    updates = recording.updates("dense:kernel")
    for shown, update in zip(masks_of(file), updates, strict=True):
        assert shown.mean() == pytest.approx(update.sparsity, abs=0.01)
    with Image.open(file) as image:
        assert image.size[0] == 960
        image.seek(5)
        image.load()
        assert image.info["duration"] == pytest.approx(3000, abs=20)  # the last one stays


def test_a_small_mask_is_enlarged_and_shown_bit_by_bit(tmp_path, run):
    recording = recorded(tmp_path / "run.npz", 6, 10)
    assert run("run.npz", "-o", "pruning.gif", "--width", "384")[0] == 0
    shown = masks_of(tmp_path / "pruning.gif")[-1]
    *_, (_, mask) = recording.masks("dense:kernel")
    high, wide = shown.shape[0] // 6, shown.shape[1] // 10
    cells = shown[high // 2 :: high, wide // 2 :: wide]
    np.testing.assert_array_equal(cells[:6, :10] < 0.5, mask)


@pytest.mark.slow
def test_sixty_frames_of_a_large_weight_take_far_less_than_fifteen_seconds(tmp_path, run):
    packed = recorded(tmp_path / "run.npz", 1024, 3136, updates=4)
    update = packed.updates("dense:kernel")[-1]
    history = (*packed.history, *(_unchanged(update, number) for number in range(56)))
    many = replace(packed, history=history)
    many.save(tmp_path / "many.npz")
    start = time.perf_counter()
    assert run("many.npz", "-o", "pruning.gif")[0] == 0
    assert time.perf_counter() - start < 15
    assert len(masks_of(tmp_path / "pruning.gif")) <= 60


def _unchanged(update: secateur.RecordedUpdate, number: int) -> secateur.RecordedUpdate:
    """Return an update that changes no bit, a little later."""
    nothing = np.zeros(1024 * 3136 // 8, np.uint8)
    return replace(update, step=update.step + number + 1, stored=bits.compressed(nothing, None))


def test_frames_are_of_one_size_whatever_the_shape(tmp_path):
    for number, shape in enumerate([(2, 5000), (5000, 2), (1, 1), (3, 2, 1, 1)]):
        recording = recorded(tmp_path / f"{number}.npz", *shape, name="a" * 300)
        sizes = {frame.image.size for frame in frames(recording, "a" * 300, 400)}
        assert len(sizes) == 1
        [(width, height)] = sizes
        assert 120 <= width <= 400
        assert 120 <= height <= 800


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["run.npz", "-o", "run.npz"], "an animation is .gif, .webp or .mp4"),
        (["missing.npz", "-o", "a.gif"], "missing.npz: no such file"),
        (["state.npz", "-o", "a.gif"], "state.npz: not a recording"),
        (
            ["run.npz", "-o", "a.gif", "--weight", "dense"],
            "no weight 'dense' was recorded: the",
        ),
        (["run.npz", "-o", "a.gif", "--weight", "stem"], "not pruned in this run; these were: de"),
        (["run.npz", "-o", "no/a.gif"], "no/a.gif: "),
    ],
)
def test_what_cannot_be_animated_is_one_line_and_leaves_no_file(tmp_path, run, words, why):
    recorded(tmp_path / "run.npz", 8, 8)
    np.savez(tmp_path / "state.npz", a=np.eye(2))
    code, _, err = run(*words)
    assert (code, len(err.splitlines())) == (1, 1)
    assert why in err
    assert {path.name for path in tmp_path.iterdir()} == {"run.npz", "state.npz"}


def test_mp4_is_written_where_ffmpeg_is_and_else_says_what_to_install(tmp_path, run, monkeypatch):
    recorded(tmp_path / "run.npz", 40, 80)
    if shutil.which("ffmpeg"):
        assert run("run.npz", "-o", "pruning.mp4")[0] == 0
        assert b"ftyp" in (tmp_path / "pruning.mp4").read_bytes()[:16]
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    code, _, err = run("run.npz", "-o", "other.mp4")
    assert (code, err.count("\n")) == (1, 1)
    assert "MP4 needs ffmpeg: install it, or pip install imageio-ffmpeg" in err


def test_without_pillow_one_line_says_what_to_install(tmp_path, run, monkeypatch):
    recorded(tmp_path / "run.npz", 8, 8)
    for name in [name for name in sys.modules if name.partition(".")[0] == "PIL"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "secateur_plots.animation", raising=False)
    monkeypatch.delattr("secateur_plots.animation", raising=False)
    code, _, err = run("run.npz", "-o", "a.gif")
    assert (code, err) == (
        1, 'secateur: secateur animate needs Pillow: pip install "secateur[plots]"\n'
    )  # fmt: skip
