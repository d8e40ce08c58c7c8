"""Write the tutorials as notebooks: each block of Python is a cell, each named file another.

python docs/examples/notebooks.py build/notebooks
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import jupytext
from nbformat import NotebookNode

TUTORIALS = Path(__file__).parents[1] / "tutorials"
NAMED_FILE = re.compile(
    r"^```(?:python|toml)\n(# (\S+\.(?:py|toml))\n.*?)^```", re.MULTILINE | re.DOTALL
)


def pages() -> list[Path]:
    """Return the tutorials that have Python in them."""
    return [page for page in sorted(TUTORIALS.glob("*.md")) if "```python" in page.read_text()]


def notebook(page: Path) -> NotebookNode:
    """Return a tutorial as a notebook, in which a cell writes each file that the page shows."""
    text = NAMED_FILE.sub(r"```python\n%%writefile \2\n\1```", page.read_text(encoding="utf-8"))
    return jupytext.reads(text, fmt="md")


def main(folder: Path) -> None:
    """Write all notebooks."""
    folder.mkdir(parents=True, exist_ok=True)
    for page in pages():
        jupytext.write(notebook(page), folder / f"{page.stem}.ipynb")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
