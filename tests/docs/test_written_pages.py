"""Pages that a script writes from files of the package say what these files say."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def run(script: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / script))


def test_the_page_of_targets_is_what_its_script_writes():
    written = run("target_tables.py")
    assert written["PAGE"].read_text(encoding="utf-8") == written["page"](), (
        "run: python docs/examples/target_tables.py"
    )


def test_the_pages_of_ready_policies_are_what_their_script_writes():
    written = run("ready_policies.py")
    pages = written["pages"](written["read"]("ready"))
    for page, text in pages.items():
        assert page.read_text(encoding="utf-8") == text, (
            f"{page.name}: run: python docs/examples/ready_policies.py"
        )
    folder = EXAMPLES.parent / "reference" / "ready"
    assert set(folder.glob("*.md")) < pages.keys()  # none is left of a policy that is gone
