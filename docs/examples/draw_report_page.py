"""Make the report page of a recorded run, and pictures of it in Chromium, light and dark.

    python docs/examples/draw_report_page.py [--run run.npz]

Takes what draw_figures.py recorded, and writes docs/figures/.  It needs Chromium and Playwright.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import secateur

HERE = Path(__file__).parent
RUN = HERE / "output" / "torch-run.npz"
FIGURES = HERE.parent / "figures"
WEIGHT = "conv2:kernel"
SIZE = {"width": 1280, "height": 900}


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--run", type=Path, default=RUN, help="a recording")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        secateur.Recording.load(parser.parse_args().run).to_html(page)
        for scheme in ("light", "dark"):
            take_picture(page, scheme, FIGURES / f"report-page-{scheme}.png")


def take_picture(page: Path, scheme: str, picture: Path) -> None:
    """Write a picture of a page as Chromium shows it."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        opened = browser.new_page(viewport=SIZE, color_scheme=scheme)
        opened.goto(page.resolve().as_uri())
        opened.wait_for_selector("html[data-ready]")
        opened.select_option("#weight", label=WEIGHT)
        opened.wait_for_function("name => state.textContent.startsWith(name)", arg=WEIGHT)
        opened.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
