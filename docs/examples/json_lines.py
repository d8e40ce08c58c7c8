"""Files of measured lines: a JSON object each, added one by one, so that a stop loses none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def read_lines(path: Path, key: Callable[[Line], object]) -> list[Line]:
    """Return the lines of a file; half a line at the end, of a run that was killed, is cut off.

    Args:
        path: The file; one that is missing has no lines.
        key: What tells a line from others; of several with one key the last counts.

    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    if len(whole) < len(text.splitlines()):
        path.write_text("".join(whole), encoding="utf-8")
    return list({key(line): line for line in map(json.loads, whole)}.values())


def append_line(path: Path, line: Line) -> None:
    """Add a line to a file."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
