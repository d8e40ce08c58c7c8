"""Everything that the README and the docs show in Python runs as it stands there."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from string import ascii_lowercase

import pytest
from sphinx.util.matching import patmatch
from sphinx_external_toc.parsing import parse_toc_yaml

from tests.fork_server import ForkServer

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = ROOT / "docs" / "tutorials"
"""Their code is run by test_notebooks.py."""
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
FILE_NAME = re.compile(r"^# (\S+\.toml)\n")


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    """Run each page in a process of its own, which has imported the frameworks already."""
    environment = {
        "KERAS_BACKEND": "tensorflow",
        "PYTHONWARNINGS": "ignore",
        "PYTHONPATH": os.pathsep.join([str(EXAMPLES), os.environ.get("PYTHONPATH", "")]),
    }
    # torch must come before TensorFlow in one process, and a page may show Keras first
    server = ForkServer(("torch", "keras", "tensorflow", "secateur"), environment)
    yield server
    server.close()


@pytest.mark.xdist_group("pages")
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.parent != TUTORIALS],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_every_example_of_a_page_runs_as_it_is_shown(
    page: Path, fork_server: ForkServer, tmp_path: Path
) -> None:
    found = FENCE.findall(page.read_text())
    for language, text in found:
        if language == "toml" and (name := FILE_NAME.match(text)):
            (tmp_path / name[1]).write_text(text)
    blocks = [text for language, text in found if language == "python"]
    (tmp_path / "blocks.json").write_text(json.dumps(blocks))
    done = fork_server.run(Path(__file__).with_name("run_page.py"), tmp_path)
    assert done.returncode == 0, done.output


def test_every_link_of_a_page_leads_somewhere() -> None:
    for page in PAGES:
        prose = CODE.sub("", FENCE.sub("", page.read_text()))
        for target in LINK.findall(prose):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"


def test_a_page_of_any_name_has_a_place_in_the_table_of_contents() -> None:
    site = parse_toc_yaml(ROOT / "docs" / "_toc.yml")
    names = {path.relative_to(ROOT / "docs").with_suffix("") for path in PAGES[1:]}
    folders = {name.parent for name in names} - {Path()}
    invented = {folder / f"{letter}-page" for folder in folders for letter in ascii_lowercase}
    for name in map(Path.as_posix, names | invented):
        assert name in site or any(patmatch(name, glob) for glob in site.globs()), name
