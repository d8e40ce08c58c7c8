"""Pages that a script writes from files of the package say what these files say."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.mark.parametrize("script", ["target_tables.py", "ready_policies.py"])
def test_a_page_is_what_its_script_writes(script):
    written = runpy.run_path(str(EXAMPLES / script))
    assert written["PAGE"].read_text(encoding="utf-8") == written["page"](), (
        f"run: python docs/examples/{script}"
    )
