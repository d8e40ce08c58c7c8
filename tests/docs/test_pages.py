"""Everything that the README and the docs show in Python runs as it stands there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
FILE_NAME = re.compile(r"^# (\S+\.toml)\n")


RUNNER = """
import json, sys
names = {"__name__": "__main__"}  # a page is read from top to bottom
for number, code in enumerate(json.load(open("blocks.json")), 1):
    print(f"block {number}", file=sys.stderr)
    exec(compile(code, f"block {number}", "exec"), names)
"""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_example_of_a_page_runs_as_it_is_shown(page: Path, tmp_path: Path) -> None:
    found = FENCE.findall(page.read_text())
    for language, text in found:
        if language == "toml" and (name := FILE_NAME.match(text)):
            (tmp_path / name[1]).write_text(text)
    blocks = [text for language, text in found if language == "python"]
    (tmp_path / "blocks.json").write_text(json.dumps(blocks))
    # torch must come before TensorFlow in one process, and a page may show Keras first
    first = "import torch\n" if any("import torch" in block for block in blocks) else ""
    done = subprocess.run(
        [sys.executable, "-c", first + RUNNER],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTHONWARNINGS": "ignore",
            "KERAS_BACKEND": "tensorflow",
            "PYTHONPATH": str(ROOT / "docs" / "examples"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_link_of_a_page_leads_somewhere() -> None:
    for page in PAGES:
        prose = CODE.sub("", FENCE.sub("", page.read_text()))
        for target in LINK.findall(prose):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)}: {target}"
