"""The tables of the scripts on real networks: printed, or written into a page of the docs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path


def table(head: Sequence[str], rows: Iterable[Sequence[object]], words: int = 1) -> str:
    """Return a Markdown table; the columns after the first `words` are set to the right."""
    marks = ["---" if column < words else "---:" for column in range(len(head))]
    lines = [head, marks, *([_cell(value) for value in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def versions(*packages: str) -> str:
    """Return the versions of the packages that the figures were measured with."""
    return "Measured with " + ", ".join(f"{name} {version(name)}" for name in packages) + "."


def show(text: str, script: str, page: Path | None) -> None:
    """Print a text, or put it in the page between the two comments that name the script."""
    if page is None:
        print(text)
        return
    name = f"docs/examples/{Path(script).name}"
    begin, end = f"<!-- written by {name} -->", f"<!-- end of {name} -->"
    old = page.read_text()
    if begin not in old or end not in old:
        raise SystemExit(f"{page} lacks the lines {begin} and {end}: nothing was written")
    before, after = old.split(begin)[0], old.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def _cell(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
