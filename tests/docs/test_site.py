"""The documentation site builds without a warning, holds every page, and is read with ease."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from sphinx.util.inventory import InventoryFile

ROOT = Path(__file__).parents[2]
SURFACE = ("secateur", "secateur.adapter", "secateur.errors", "secateur.layout", "secateur.testing")
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("site")]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site once, as `make docs` builds it."""
    built = tmp_path_factory.mktemp("site")
    options = ["--builder", "html", "--fail-on-warning", "--keep-going", "--quiet"]
    command = [sys.executable, "-m", "sphinx", *options, str(ROOT / "docs"), str(built)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return built


class Links(HTMLParser):
    """What a page links to and shows, and the anchors that it offers."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = set()
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            if name == "id" and value:
                self.anchors.add(value)


def test_every_link_and_picture_of_the_site_is_there(site: Path) -> None:
    pages = {page: Links(page) for page in site.rglob("*.html") if "_static" not in page.parts}
    for page, links in pages.items():
        for target in links.targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            where = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert where.exists(), f"{page.name}: {target}"
            if parts.fragment and where in pages:
                anchors = pages[where].anchors
                assert unquote(parts.fragment) in anchors, f"{page.name}: {target}"


def test_no_page_loads_anything_from_the_network(site: Path) -> None:
    loads = re.compile(r"""<(?:script|img|link|iframe)\b[^>]*(?:src|href)=["'](?:https?:)?//""")
    for page in site.rglob("*.html"):
        assert not loads.search(page.read_text()), page


def test_every_page_is_there_as_markdown_and_is_listed_for_language_models(site: Path) -> None:
    listed = (site / "llms.txt").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        name = page.relative_to(ROOT / "docs").with_suffix("")
        assert (site / name).with_suffix(".md").read_text().startswith("#"), name
        assert f"({name}" in listed, name


@pytest.mark.parametrize("module", SURFACE)
def test_every_public_name_has_an_entry_in_the_reference(site: Path, module: str) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="").data
    described = {
        name.rpartition(".")[2] for kind, names in inventory.items() if kind.startswith("py:")
        for name in names
    }  # fmt: skip
    assert sorted(set(import_module(module).__all__) - described - {"__version__"}) == []


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        if os.environ.get("CI"):
            pytest.fail("these tests need Chromium: in Debian apt-get install chromium")
        pytest.skip("needs Chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", "--disable-gpu"]
        )
        yield opened
        opened.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_have_contrast_and_fit_narrow_screens(site: Path, browser: Any, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    only = {"runOnly": {"type": "rule", "values": ["color-contrast", "image-alt", "empty-heading"]}}
    window = browser.new_page(color_scheme=scheme, viewport={"width": 390, "height": 800})
    faults = []
    for page in sorted((ROOT / "docs").rglob("*.md")):
        window.goto((site / page.relative_to(ROOT / "docs").with_suffix(".html")).as_uri())
        if window.evaluate("document.documentElement.scrollWidth > innerWidth"):
            faults.append(f"{page.name}: wider than the screen")
        found = Axe().run(window, options=only).response["violations"]
        faults += [
            f"{page.name}: {fault['id']}: {json.dumps(fault['nodes'][0]['target'])}"
            for fault in found
        ]
    window.close()
    assert not faults
