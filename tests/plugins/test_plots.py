"""Pictures: each looks as it did when it was last looked at, and leaves nothing behind.

``SECATEUR_DRAW=1 pytest tests/plugins/test_plots.py`` draws the pictures again, to be looked at.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import secateur
import secateur_plots
from secateur.errors import ModelError, PolicyError
from secateur_plots.flat import lay_flat

pytestmark = pytest.mark.slow  # each draws

PICTURES = Path(__file__).with_name("pictures")
TOLERANCE = 4.0
"""How many of 255 greys a picture may differ in the root of the mean of squares."""
TWO_OF_FOUR = {"kind": "n_m", "keep": 2, "of": 4}
HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
BLOCKS = {"kind": "block", "out": 4, "in": 2}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape)


def pruned(weight: np.ndarray, pattern: object, sparsity: float = 0.5) -> np.ndarray:
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    policy = {"schedule": schedule, "pattern": pattern}
    return secateur.prune({"w": weight}, policy).masks["w"]


def mask_with_sets() -> Figure:
    return secateur_plots.plot_mask(pruned(normal(12, 24), TWO_OF_FOUR), pattern=TWO_OF_FOUR)


def mask_of_a_convolution() -> Figure:
    mask = pruned(normal(16, 8, 3, 3), BLOCKS, 0.7)
    return secateur_plots.plot_mask(mask, pattern=BLOCKS, title="conv")


def three_masks() -> Figure:
    return secateur_plots.plot_masks(normal(16, 16))


def schedules() -> Figure:
    grow = {"kind": "polynomial", "final_sparsity": 0.9, "begin_step": "10%", "end_step": 80}
    once = {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 40}
    policies = [
        {"name": "grow", "schedule": {**grow, "frequency": 10}},
        {"schedule": once, "pattern": TWO_OF_FOUR},
    ]
    return secateur_plots.plot_schedule(policies, total_steps=100)


def sparsities() -> Figure:
    weights = {f"layer.{n}:kernel": normal(16, 8 * n) for n in range(1, 5)} | {"c": normal(4, 4)}
    rules = [{"match": {"name": "c"}, "prune": False}, {"distribution": "erk"}]
    schedule = {"kind": "one_shot", "final_sparsity": 0.8}
    return secateur_plots.plot_sparsity(
        secateur.prune(weights, {"schedule": schedule, "rules": rules})
    )


def magnitudes() -> Figure:
    weight = normal(32, 32)
    weight[np.abs(weight) < 0.2] = 0
    return secateur_plots.plot_magnitudes(weight, threshold=0.6)


DRAWN = [mask_with_sets, mask_of_a_convolution, three_masks, schedules, sparsities, magnitudes]


def pixels(figure: Figure) -> Image.Image:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=50)
    return Image.open(content).convert("RGB")


def difference(one: Image.Image, other: Image.Image) -> float:
    if one.size != other.size:
        return 255.0
    squares = (np.asarray(one, float) - np.asarray(other, float)) ** 2
    return float(np.sqrt(squares.mean()))


@pytest.mark.parametrize("draw", DRAWN, ids=lambda draw: draw.__name__)
def test_a_picture_looks_as_it_did(draw):
    drawn, file = pixels(draw()), PICTURES / f"{draw.__name__}.png"
    if os.environ.get("SECATEUR_DRAW"):
        drawn.quantize(64).save(file, optimize=True)
    assert difference(drawn, Image.open(file).convert("RGB")) < TOLERANCE


def test_a_picture_that_lost_its_grid_or_its_marks_is_found():
    bare = secateur_plots.plot_mask(pruned(normal(12, 24), TWO_OF_FOUR))
    kept = Image.open(PICTURES / "mask_with_sets.png").convert("RGB")
    assert difference(pixels(bare), kept) > 2 * TOLERANCE
    figure = schedules()
    for line in figure.axes[0].lines:
        line.set_marker("")
    kept = Image.open(PICTURES / "schedules.png").convert("RGB")
    assert difference(pixels(figure), kept) > TOLERANCE


def test_pictures_draw_on_the_axes_that_they_are_given_and_leave_nothing_behind():
    settings, modules = dict(mpl.rcParams), set(sys.modules)
    figure = Figure()
    several = figure.subplots(2, 3).flat
    report = secateur.prune({"w": normal(8, 8)}, HALF)
    assert secateur_plots.plot_mask(report.masks["w"], ax=several[0]) is figure
    assert secateur_plots.plot_schedule("cnn-80", 1000, ax=several[1]) is figure
    assert secateur_plots.plot_sparsity(report, ax=several[2]) is figure
    assert secateur_plots.plot_magnitudes(normal(8, 8), ax=several[3]) is figure
    patterns = [TWO_OF_FOUR]
    weight = normal(8, 8)
    assert secateur_plots.plot_masks(weight, patterns=patterns, ax=several[4:6]) is figure
    np.testing.assert_array_equal(weight, normal(8, 8))
    assert dict(mpl.rcParams) == settings
    assert "matplotlib.pyplot" not in set(sys.modules) - modules
    assert secateur_plots.plot_mask(np.eye(4))._repr_png_().startswith(b"\x89PNG")


def test_a_large_mask_is_drawn_with_its_density():
    mask = np.random.default_rng(0).random((700, 2100)) < 0.25
    figure = secateur_plots.plot_mask(mask)
    inner = figure.axes[0].get_window_extent()
    image = np.asarray(pixels(figure).convert("L"))  # after the layout was made
    inner = figure.axes[0].get_window_extent().extents * 50 / figure.dpi
    left, bottom, right, top = inner.round().astype(int)
    height = image.shape[0]
    shown = image[height - top + 2 : height - bottom - 2, left + 2 : right - 2]
    assert shown.mean() / 255 == pytest.approx(0.75, abs=0.02)


def test_a_recurrent_weight_is_laid_flat_gate_by_gate_and_a_group_in_one_piece():
    mask = np.zeros((4, 6, 5), bool)
    mask[1, 2, 3] = True
    flat = lay_flat(mask, {"kind": "block", "out": 2, "in": 5}, "rnn")
    assert (flat.kept.shape, flat.kept[1 * 6 + 2, 3]) == ((24, 5), True)
    assert flat.row_edges.tolist() == [*range(2, 24, 2)]
    assert (flat.row_label, flat.column_label) == ("gate, out", "in")
    channels = lay_flat(np.ones((4, 3, 2, 2)), {"kind": "channel", "axis": "in"})
    assert (channels.row_edges.tolist(), channels.column_edges.tolist()) == ([], [4, 8])
    sets = lay_flat(np.ones((2, 6, 2)), TWO_OF_FOUR)
    assert sets.column_edges.tolist() == [4, 6, 10]


def test_the_update_steps_are_those_of_the_schedule():
    schedule = {"kind": "linear", "final_sparsity": 0.8, "end_step": 95, "frequency": 20}
    line = secateur_plots.plot_schedule({"schedule": schedule}).axes[0].lines[0]
    marked = line.get_xdata()[line.get_markevery()]
    assert marked.tolist() == [0, 20, 40, 60, 80, 95]
    endless = {"kind": "constant", "final_sparsity": 0.5, "begin_step": 50, "frequency": 10}
    line = secateur_plots.plot_schedule({"schedule": endless}).axes[0].lines[0]
    assert line.get_xdata()[line.get_markevery()][:3].tolist() == [50, 60, 70]
    rules = [{"match": {"kind": "conv"}, "schedule": endless}, {"schedule": schedule}]
    lines = secateur_plots.plot_schedule({"name": "two", "rules": rules}).axes[0].lines
    assert [line.get_label() for line in lines] == ["two, rule 1", "two, rule 2"]


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda: secateur_plots.plot_mask(np.eye(4), pattern="blok"), PolicyError, "'block'"),
        (lambda: secateur_plots.plot_mask(np.array(["a"])), ModelError, "not of numbers"),
        (lambda: secateur_plots.plot_mask(np.ones((2,) * 7)), ModelError, "pass kind="),
        (lambda: secateur_plots.plot_mask(np.eye(4), kind="rnn"), ModelError, "axes, not the sh"),
        (lambda: secateur_plots.plot_masks(np.eye(4), ax=[None]), ModelError, "draws 3 pictures"),
        (lambda: secateur_plots.plot_masks(np.eye(4), 1.5), PolicyError, "final_sparsity"),
        (lambda: secateur_plots.plot_schedule("cnn-80"), PolicyError, "total_steps"),
        (lambda: secateur_plots.plot_schedule(["cnn-80"], 9, labels=[]), PolicyError, "0 labels"),
        (lambda: secateur_plots.plot_magnitudes([np.nan]), ModelError, "NaN or infinity"),
        (lambda: secateur_plots.plot_magnitudes([1.0], -1), ModelError, "wanted a magnitude"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, error, words):
    with pytest.raises(error, match=words):
        draw()


def test_names_are_shown_as_they_are_and_thresholds_of_any_size_are_drawn():
    report = secateur.prune({"a$\\frac$": normal(4, 4), "b" * 90: normal(2, 2)}, HALF)
    figure = secateur_plots.plot_sparsity(report)
    pixels(figure)  # not taken for math
    assert figure.axes[0].get_yticklabels()[1].get_text() == "..." + "b" * 37
    for threshold in (0, 1e-12, 1e12):
        secateur_plots.plot_magnitudes(normal(4, 4), threshold)


def test_without_matplotlib_one_line_says_what_to_install():
    code = "import sys; sys.modules['matplotlib'] = None; import secateur_plots.plugin\n"
    code += "import secateur_plots; secateur_plots.plot_mask"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        'ModuleNotFoundError: secateur_plots needs matplotlib: pip install "secateur[plots]"'
    )
