"""The report page in a real browser, without a network: what it shows, and how it is used."""

from __future__ import annotations

import os
import shutil
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import secateur
from secateur.cli import main

pytestmark = [
    pytest.mark.slow,  # Chromium starts, and draws
    pytest.mark.xdist_group("browser"),  # one browser for all of them
    pytest.mark.filterwarnings("ignore::secateur.errors.ScheduleWarning"),
]
ROOT = Path(__file__).parents[2]
NEEDED = (
    "these tests need Playwright and Chromium: pip install playwright, and in Debian "
    "apt-get install chromium"
)
OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
EVIL = ["<script>alert(1)</script>", "</script><img src=x onerror=alert(2)>:kernel",
        "\"'&amp;<b>\x1b[31m\u202e\ud800:kernel"]  # fmt: skip
POLICY = {
    "name": "</script><script>alert(3)</script>",
    "rules": [
        {"match": {"name": "head"}, "prune": False},
        {"id": "<i>blocks</i>", "match": {"kind": "conv"}, "distribution": "erk",
         "pattern": {"kind": "block", "out": 2, "in": 1}},
        {"distribution": "global"},
    ],
}  # fmt: skip


def record(path: Path, weights: dict[str, np.ndarray], sparsity: float, every: int = 2) -> None:
    ramp = {"kind": "polynomial", "final_sparsity": sparsity, "end_step": 20, "frequency": every}
    recorder = secateur.Recorder(path)
    pruner = secateur.attach(weights, {**POLICY, "schedule": ramp}, observers=[recorder])
    pruner.step()
    for _ in range(20):
        pruner.step()
    pruner.detach()


def small(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    shapes = {"conv": (16, 8, 3, 3), "fc": (24, 40), "wide": (900, 1200), "head": (10, 24)}
    shapes |= dict.fromkeys(EVIL, (12, 12))
    return {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with two runs, and the pages of them."""
    made = tmp_path_factory.mktemp("pages")
    record(made / "run.npz", small(0), 0.9)
    record(made / "other.npz", small(1), 0.8)
    many = {f"encoder.layers.{n}.attention.query:kernel": np.random.default_rng(n).normal(
        size=(64, 64)).astype("float32") for n in range(199)}  # fmt: skip
    record(made / "many.npz", {**many, "conv": small(0)["conv"], "head": small(0)["head"]}, 0.9, 1)
    run, other, many_weights = (
        secateur.Recording.load(made / f"{name}.npz") for name in ("run", "other", "many")
    )
    run.to_html(made / "run.html")
    run.to_html(made / "against.html", against=other, notes=["<b>note</b>"])
    many_weights.to_html(made / "many.html")
    return made


@pytest.fixture(scope="module")
def browser():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if find_spec("playwright") is None or chromium is None:
        if os.environ.get("CI"):
            pytest.fail(NEEDED)
        pytest.skip(NEEDED)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield opened
        opened.close()


@pytest.fixture
def show(browser, folder):
    """Return a function that opens a page; nothing may be logged, asked for or popped up."""
    contexts, complaints = [], []

    def opened(name: str, wait: bool = True, **settings):
        contexts.append(context := browser.new_context(**settings))
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.on("request", lambda request: complaints.append(request.url)
                if request.url != (folder / name).as_uri() else None)  # fmt: skip
        page.goto((folder / name).as_uri())
        if wait:
            page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


PICTURE = """() => {
    const canvas = document.getElementById("mask");
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return {width: canvas.width, height: canvas.height,
            dark: Array.from({length: pixels.length / 4}, (_, n) => pixels[4 * n] < 128)};
}"""


def picture(page) -> np.ndarray:
    found = page.evaluate(PICTURE)
    return np.array(found["dark"]).reshape(found["height"], found["width"])


def names(page) -> list[str]:
    return page.eval_on_selector_all(
        "#weights tbody tr:not([hidden]) th", "cells => cells.map(cell => cell.textContent)"
    )


def test_the_slider_plays_the_masks_that_were_recorded_by_keyboard_too(show, folder):
    page = show("run.html")
    recording = secateur.Recording.load(folder / "run.npz")
    page.select_option("#weight", label="fc")
    page.locator("#step").focus()
    page.keyboard.press("Home")
    masks = list(recording.masks("fc"))
    for number, (update, mask) in enumerate(masks):
        page.wait_for_function(
            "words => document.getElementById('state').textContent.includes(words)",
            arg=f"update {number + 1} of {len(masks)}, step {update.step}: {update.kept}",
        )
        np.testing.assert_array_equal(picture(page), mask)
        assert f"step {update.step}" in page.get_attribute("#step", "aria-valuetext")
        page.keyboard.press("ArrowRight")
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    assert page.get_attribute("#play", "aria-pressed") == "true"
    page.wait_for_function("() => document.getElementById('step').value !== '0'")
    page.keyboard.press("Enter")
    assert page.inner_text("#play") == "Play"


def test_a_large_mask_is_drawn_with_its_density_kept(show, folder):
    page = show("run.html")
    update = secateur.Recording.load(folder / "run.npz").updates("wide")[-1]
    page.get_by_role("button", name="wide: show the mask").click()
    page.wait_for_function("() => document.getElementById('state').textContent.includes('wide')")
    assert page.evaluate("document.activeElement.id") == "step"
    assert picture(page).size > 50_000
    assert picture(page).mean() == pytest.approx(1 - update.sparsity, abs=0.01)


def test_the_table_sorts_and_filters_by_mouse_and_keyboard(show):
    page = show("run.html")
    before = names(page)
    page.get_by_role("button", name="Size", exact=True).click()
    assert page.get_attribute("th:has([data-key='3'])", "aria-sort") == "ascending"
    assert names(page)[-1] == "wide"
    page.keyboard.press("Enter")
    assert page.get_attribute("th:has([data-key='3'])", "aria-sort") == "descending"
    assert names(page)[0] == "wide"
    assert sorted(names(page)) == sorted(before)
    page.get_by_label("Name contains").fill("SCRIPT>")
    assert len(names(page)) == 2
    assert page.inner_text("#count") == "2 of 7 weights"
    page.get_by_label("Name contains").fill("")
    page.get_by_label("Kind").select_option("conv")
    assert names(page) == ["conv"]
    page.get_by_label("Kind").select_option("")
    page.select_option("#which", "dense")
    assert names(page) == ["head"]
    page.get_by_label("Name contains").fill("nothing")
    assert page.is_visible("text=No weight fits.")


def test_names_and_notes_are_shown_as_text(show):
    page = show("against.html")
    assert page.inner_text("h1") == POLICY["name"]
    assert set(names(page)) >= {*EVIL[:2], "\"'&amp;<b>\\x1b[31m\\u202e\\ud800:kernel"}
    assert page.is_visible("text=<b>note</b>")
    assert page.locator("img").count() == 0
    assert "<i>blocks</i>" in page.inner_text("#weights")


def test_the_chart_shows_each_rule_and_has_its_figures_as_a_table(show):
    page = show("run.html")
    assert page.get_attribute("#chart", "role") == "img"
    assert "Sparsity over 11 updates" in page.get_attribute("#chart", "aria-label")
    text = page.inner_text("#chart")
    for words in ("sparsity", "step", "<i>blocks</i>", "rule 3", "all prunable weights"):
        assert words in text
    page.get_by_text("The figures of the chart").click()
    assert page.locator("table.plain tbody tr").count() == 3 * 11


def test_two_runs_are_compared(show, folder):
    page = show("against.html")
    run, other = (secateur.Recording.load(folder / f"{n}.npz") for n in ("run", "other"))
    cells = page.locator("#weights tr:has(button:text-is('fc')) td").all_inner_texts()
    pairs = [list(each.masks("fc"))[-1] for each in (run, other)]
    differing = np.mean(pairs[0][1] ^ pairs[1][1])
    assert cells[-3] == f"{pairs[1][0].sparsity:.4f}"
    assert cells[-1] == f"{differing:.4f}"
    page.select_option("#weight", label="fc")
    page.wait_for_function("() => document.getElementById('state').textContent.includes('fc')")
    page.get_by_label("Difference to the other run").check()
    assert page.is_visible("#legend-difference")
    orange = """() => { const c = document.getElementById("mask"), d = c.getContext("2d")
        .getImageData(0, 0, c.width, c.height).data; let n = 0;
        for (let i = 0; i < d.length; i += 4) n += d[i] > 200 && d[i + 2] < 20; return n; }"""
    assert page.evaluate(orange) == np.count_nonzero(pairs[0][1] & ~pairs[1][1])


CONTRAST = """() => {
    const parse = (text) => text.match(/[\\d.]+/g).map(Number);
    const linear = (v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const behind = (node) => {
        for (; node; node = node.parentElement) {
            const style = getComputedStyle(node), colour = parse(style.backgroundColor);
            if (node.classList.contains("bar")) return parse(
                style.backgroundImage.match(/rgb[^)]*/)[0]);
            if (colour.length < 4 || colour[3] > 0) return colour;
        }
        return [255, 255, 255];
    };
    return [...document.querySelectorAll("body *")].filter((node) => node.checkVisibility()
        && [...node.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
        && !["SCRIPT", "STYLE", "OPTION"].includes(node.tagName)).map((node) => {
        const style = getComputedStyle(node);
        const ink = parse(node.ownerSVGElement ? style.fill : style.color);
        const [a, b] = [light(ink), light(behind(node))].sort((x, y) => y - x);
        return [node.textContent.trim().slice(0, 40), (a + 0.05) / (b + 0.05)];
    });
}"""
UNNAMED = """() => [...document.querySelectorAll("button, input, select, [role=img], [tabindex]")]
    .filter((node) => !(node.getAttribute("aria-label") || node.getAttribute("aria-labelledby")
        || node.textContent.trim() || node.labels?.length)).map((node) => node.outerHTML)"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark_and_everything_has_a_name(show, scheme):
    page = show("against.html", color_scheme=scheme, viewport={"width": 1280, "height": 900})
    found = page.evaluate(CONTRAST)
    assert len(found) > 100
    assert not [each for each in found if each[1] < 4.5]
    assert page.evaluate(UNNAMED) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 1280


def test_a_narrow_screen_scrolls_the_table_only_and_print_shows_all_of_it(show):
    page = show("against.html", viewport={"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.emulate_media(media="print")
    assert not page.is_visible("#filters")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('.scroll')).overflow") == "visible"
    )
    assert page.pdf(format="A4").startswith(b"%PDF")


def test_without_javascript_the_figures_are_there(show):
    page = show("run.html", wait=False, java_script_enabled=False)
    assert page.is_visible("th:has-text('fc')")
    assert page.is_visible("text=weights stay")


def test_two_hundred_weights_open_and_answer_without_lag(show, folder):
    assert (folder / "many.html").stat().st_size < 5_000_000
    began = time.monotonic()
    page = show("many.html")
    assert time.monotonic() - began < 5  # about 1 s on an idle machine
    assert page.locator("#weights tbody tr").count() == 201
    took = page.evaluate("""async () => {
        const began = performance.now();
        document.querySelector("#weights thead button").click();
        const filter = document.getElementById("filter");
        filter.value = "layers.19"; filter.dispatchEvent(new Event("input"));
        const step = document.getElementById("step");
        for (let at = 0; at <= step.max; at += 1) {
            step.value = at; step.dispatchEvent(new Event("input"));
            await new Promise((done) => requestAnimationFrame(done));
        }
        return performance.now() - began;
    }""")
    assert took < 3000  # 21 pictures, at the pace of the screen
    assert len(names(page)) == 10


def test_of_a_long_run_sixty_updates_are_shown_and_the_page_stays_small(show, folder):
    ramp = {"kind": "linear", "final_sparsity": 0.9, "end_step": 140, "frequency": 1}
    pruner = secateur.attach({"fc": np.arange(1.0, 1025.0).reshape(32, 32)}, {"schedule": ramp},
                             observers=[secateur.Recorder(folder / "long.npz")])  # fmt: skip
    for _ in range(140):
        pruner.step()
    secateur.Recording.load(folder / "long.npz").to_html(folder / "long.html")
    page = show("long.html")
    assert page.get_attribute("#step", "max") == "59"
    assert "update 60 of 60, step 140: 102 of 1,024" in page.inner_text("#state")
    assert "60 of 141 updates" in page.inner_text("#shows")
    page.locator("#step").press("Home")
    page.wait_for_function("() => state.textContent.includes('update 1 of 60, step 0')")
    assert page.locator("table.plain tbody tr").count() == 2 * 120


def test_a_report_makes_a_page_of_the_masks_as_they_are(show, folder):
    weights = {"fc": small(0)["fc"], EVIL[0]: small(0)[EVIL[0]]}
    half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    text = secateur.attach(weights, half).report().to_html(folder / "now.html")
    assert (folder / "now.html").read_text() == text
    page = show("now.html")
    np.testing.assert_array_equal(picture(page), weights["fc"] != 0)
    assert page.is_disabled("#step")
    empty = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 9}}
    secateur.attach(weights, empty).report().to_html(folder / "empty.html")
    assert show("empty.html").is_visible("text=No mask was updated yet.")


@pytest.fixture
def command(folder, capsys, monkeypatch):
    """Return a function that runs a command in the folder: its code, and what it prints."""
    monkeypatch.chdir(folder)

    def run(*words: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["secateur", *words])
        with pytest.raises(SystemExit) as exit_:
            main()
        return exit_.value.code, *capsys.readouterr()

    return run


def test_the_command_writes_the_page(command, folder):
    words = ("report", "run.npz", "-o", "made.html", "--against", "other.npz")
    assert command(*words) == (0, "written to made.html\n", "")
    assert (folder / "made.html").read_text().endswith("</html>")
    code, out, _ = command("report", "run.npz")
    assert code == 0
    assert out.endswith("weights stay\n")


def test_what_is_refused_gets_one_line_and_writes_nothing(command, folder, monkeypatch):
    np.savez(folder / "no.npz", a=np.ones(3))
    refused = {
        ("no.npz", "-o", "x.html"): "no.npz: no recording; a page needs one",
        ("missing.npz", "-o", "x.html"): "missing.npz: no such file",
        ("run.npz", "-o", "run.npz"): "run.npz",
        ("run.npz", "-o", "no/x.html"): "No such file",
    }
    for words, why in refused.items():
        code, out, error = command("report", *words)
        assert (code, out, len(error.splitlines())) == (1, "", 1)
        assert why in error
    assert command("report", "run.npz", "--against", "other.npz")[0] == 2
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.delitem(sys.modules, "secateur_page.page", raising=False)
    monkeypatch.delitem(sys.modules, "secateur_page", raising=False)
    wanted = (
        'secateur: a report page needs Jinja2 and vl-convert-python: pip install "secateur[page]"'
    )
    assert command("report", "run.npz", "-o", "x.html") == (1, "", f"{wanted}\n")
    assert not (folder / "x.html").exists()
