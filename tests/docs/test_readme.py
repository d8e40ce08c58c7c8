"""Everything that the README and the docs show in Python runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FILE_NAME = re.compile(r"^# (\S+\.toml)\n")


def blocks() -> list[object]:
    found = []
    for page in PAGES:
        python = [text for language, text in FENCE.findall(page.read_text()) if language == "python"]
        found += [
            pytest.param(page, text, id=f"{page.relative_to(ROOT)}-{number}")
            for number, text in enumerate(python, 1)
        ]
    return found


@pytest.mark.parametrize(("page", "code"), blocks())
def test_example_runs_as_it_is_shown(page: Path, code: str, tmp_path: Path) -> None:
    for language, text in FENCE.findall(page.read_text()):
        if language == "toml" and (name := FILE_NAME.match(text)):
            (tmp_path / name[1]).write_text(text)
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "KERAS_BACKEND": "tensorflow"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
