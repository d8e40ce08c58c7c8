"""The toy adapter of docs/tutorials/write-an-adapter.md meets the contract."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from toy_conformance import TestToy

DOCS = Path(__file__).parents[3] / "docs"
__all__ = ["TestToy"]


def blocks(text):
    return [block.strip() for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]


def test_the_page_shows_the_whole_adapter_and_it_passes_as_shown(tmp_path):
    head, _, tail = (
        (DOCS / "tutorials" / "write-an-adapter.md").read_text().partition("## Check it")
    )
    shown = {"toy_adapter.py": blocks(head), "toy_conformance.py": blocks(tail)}
    for name, parts in shown.items():
        (tmp_path / name).write_text("\n\n\n".join(parts) + "\n")
        file = (DOCS / "examples" / name).read_text()
        for part in parts:
            assert part in file, f"{name} and the page differ: {part.splitlines()[0]}"
        rest = file
        for part in parts:
            rest = rest.replace(part, "")
        assert not re.sub(r'""".*?"""|# ---.*|\s', "", rest, flags=re.DOTALL), f"not shown: {rest}"
    options = ["-q", "-p", "no:cacheprovider", "-k", "not bfloat16"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "toy_conformance.py", *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
