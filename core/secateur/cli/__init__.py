"""The command line.  Typer and rich are imported here only, never by the library."""

from __future__ import annotations

import sys
import warnings
from typing import Any

from secateur.cli import compare, inspection, listing, planning, pruning
from secateur.cli.app import app
from secateur.errors import PluginWarning, ScheduleWarning, SecateurError

__all__ = ["COMMANDS", "main"]

COMMANDS = (planning, pruning, inspection, compare, listing)
"""The modules that put their commands on the app."""


def main() -> None:
    """Run a command: exit code 0 when it is done, 1 when it is refused, 2 for wrong usage."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a user cannot mend those of other libraries
        warnings.simplefilter("always", PluginWarning)
        warnings.simplefilter("always", ScheduleWarning)
        warnings.showwarning = _show_warning
        try:
            app(prog_name="secateur")
        except SecateurError as error:
            _refuse("; ".join(str(error).splitlines()))
        except OSError as error:
            _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))


def _refuse(why: str) -> None:
    sys.stderr.write(f"secateur: {why}\n")
    sys.exit(1)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    sys.stderr.write(f"secateur: warning: {message}\n")
