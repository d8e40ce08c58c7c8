"""The page on targets says what the data files say."""

from __future__ import annotations

import runpy
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "docs" / "examples" / "target_tables.py"


def test_the_page_on_targets_is_what_its_script_writes():
    written = runpy.run_path(str(SCRIPT))
    assert written["PAGE"].read_text(encoding="utf-8") == written["page"](), (
        "run: python docs/examples/target_tables.py"
    )
