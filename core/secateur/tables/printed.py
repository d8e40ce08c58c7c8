"""Where a view goes: to a terminal, a pipe, or a notebook."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from secateur.tables.html import as_html
from secateur.tables.text import as_text
from secateur.tables.view import View

_NARROWEST = 40
USUAL_WIDTH = 80


class Printed:
    """Something that prints as its `view`."""

    def view(self, fold: bool = True, notes: Sequence[str] = ()) -> View:
        """Return what is printed.

        Args:
            fold: Whether what repeats is shown once, and counted.
            notes: More that the reader should know.

        """
        raise NotImplementedError

    def to_text(self, *, fold: bool = True, width: int = USUAL_WIDTH) -> str:
        """Return what `print` shows in a pipe: aligned text, without colours.

        Args:
            fold: Whether reasons that repeat are shown once, and counted; False lists all.
            width: How many columns it may take; long names are shortened in the middle.

        """
        return as_text(self.view(fold), max(width, _NARROWEST))

    def __str__(self) -> str:
        """Return tables for a terminal where stdout is one, and else aligned text."""
        return for_stdout(self.view())

    def _repr_html_(self) -> str:
        """Return the view for a notebook."""
        return as_html(self.view(), type(self).__name__)


def for_stdout(view: View) -> str:
    """Return a view as it is shown on stdout, as wide as the terminal or COLUMNS, else 80."""
    width = max(shutil.get_terminal_size((USUAL_WIDTH, 24)).columns, _NARROWEST)
    if not _is_terminal():
        return as_text(view, width)
    from secateur.tables.terminal import for_terminal

    return for_terminal(view, width)


def _is_terminal() -> bool:
    """Return whether stdout is a terminal that shows rich's tables, and rich is there."""
    try:
        is_terminal = sys.stdout.isatty()
        encoding = sys.stdout.encoding or ""
    except (AttributeError, ValueError):  # no stdout, or a closed one
        return False
    return (
        is_terminal
        and encoding.lower().replace("-", "").startswith("utf8")
        and os.environ.get("TERM", "") != "dumb"
        and find_spec("rich") is not None
    )
