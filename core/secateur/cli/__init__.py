"""The command line.  Typer and rich are imported here only, never by the library."""

from __future__ import annotations

import sys

__all__ = ["main"]

_NEEDED = ("typer", "rich", "click")

try:
    from secateur.cli.program import COMMANDS as COMMANDS
    from secateur.cli.program import app as app
    from secateur.cli.program import main as main
    from secateur.cli.program import whole_app as whole_app
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] not in _NEEDED:
        raise

    def main() -> None:
        """Print how to install what the command line needs."""
        sys.stderr.write('secateur: the command line needs typer: pip install "secateur[cli]"\n')
        sys.exit(1)
