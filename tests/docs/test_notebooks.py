"""The tutorials run as notebooks, cell by cell."""

from __future__ import annotations

import os
from pathlib import Path

import notebooks
import pytest
from nbclient import NotebookClient

PATH = [str(Path(notebooks.__file__).parent)]
"""Where the tutorial on adapters finds the code that it is about."""
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
