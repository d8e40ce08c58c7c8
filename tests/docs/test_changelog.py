"""What `changelog.d` holds becomes the changelog, line by line."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
FRAGMENTS = [path for path in (ROOT / "changelog.d").glob("*.md") if path.name != "README.md"]


def test_every_file_of_a_change_has_a_known_type_and_holds_items() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
    types = {kind["directory"] for kind in settings["type"]}
    for path in FRAGMENTS:
        _, kind, suffix = path.name.split(".")
        assert (kind in types, suffix) == (True, "md"), path.name
        lines = path.read_text().splitlines()
        assert lines[0].startswith("- "), path.name
        wrong = [line for line in lines if not line.startswith(("- ", "  "))]
        assert not wrong, (path.name, wrong[0])


def test_the_draft_of_a_release_has_every_line() -> None:
    command = [sys.executable, "-m", "towncrier", "build", "--draft", "--version", "9.9.9"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    written = done.stdout.splitlines()
    assert written[0].startswith("## 9.9.9 (")
    assert not written[1]
    for path in FRAGMENTS:
        assert set(path.read_text().splitlines()) <= set(written), path.name
