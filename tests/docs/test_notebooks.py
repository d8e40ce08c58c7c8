"""The tutorials run as notebooks, cell by cell."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import notebooks
import pytest
from nbclient import NotebookClient

PATH = [str(Path(notebooks.__file__).parent)]
"""Where the tutorial on adapters finds the code that it is about."""
SHOWN = re.compile(r"```text\n(.*?)^```", re.DOTALL | re.MULTILINE)
"""What a page says that the cell above it prints; it may print more."""
pytestmark = pytest.mark.slow  # each starts a kernel, which imports a framework


@pytest.mark.parametrize("page", notebooks.pages(), ids=lambda page: page.stem)
def test_a_tutorial_runs_as_a_notebook(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*PATH, os.environ.get("PYTHONPATH", "")]))
    client = NotebookClient(notebooks.notebook(page), timeout=300, resources={
        "metadata": {"path": str(tmp_path)}
    })  # fmt: skip
    ran = client.execute()
    assert any(cell.get("execution_count") for cell in ran.cells)
    for cell, after in pairwise(ran.cells):
        if cell.cell_type == "code" and (shown := SHOWN.match(after.source)):
            assert shown[1] in "".join(output.get("text", "") for output in cell.outputs)
    if (tmp_path / "worth.py").exists():
        assert "worth" in _plugins_once_installed(tmp_path)


def _plugins_once_installed(folder: Path) -> list[str]:
    """Install a folder as a package, elsewhere, and return the plugins that are found then."""
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", "site"]
    pip = [sys.executable, "-m", "pip", "install", *options, "."]
    subprocess.run(pip, cwd=folder, check=True, timeout=120)
    paths = os.pathsep.join([str(folder / "site"), os.environ.get("PYTHONPATH", "")])
    listed = subprocess.run(
        [sys.executable, "-P", "-m", "secateur", "plugins", "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        check=True,
        timeout=120,
    )
    return [plugin["name"] for plugin in json.loads(listed.stdout)]
