"""The program: one command, its errors as one line, and its exit code."""

from __future__ import annotations

import copy
import inspect
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from types import FrameType
from typing import Any, NoReturn

import typer

from secateur.cli import exporting, inspection, pruning, reporting, targeting
from secateur.cli.app import app
from secateur.cli.policies import checking, compare, explaining, listing, planning, verifying
from secateur.cli.small_files import packing
from secateur.errors import PluginWarning, PolicyWarning, ScheduleWarning, SecateurError
from secateur.hooks.at_work import commands
from secateur.tables import printable

__all__ = ["COMMANDS", "app", "main", "whole_app"]

COMMANDS = (
    checking,
    planning,
    explaining,
    pruning,
    verifying,
    exporting,
    inspection,
    packing,
    compare,
    targeting,
    reporting,
    listing,
)
"""The modules that put their commands on the app."""
_LONGEST_ERROR = 4000
"""How many characters of an error are shown: some list what a large model has."""
_TERMINATED_BY = ("SIGTERM", "SIGHUP")


def main() -> None:
    """Run the command that ``sys.argv`` holds, and exit.

    The exit code is 0 when it is done, 1 when it is refused, and 2 for wrong usage.
    """
    if isinstance(sys.stdout, TextIOWrapper):  # a name need not fit the terminal's encoding
        sys.stdout.reconfigure(errors="backslashreplace")
    # As a path it would be the current folder; explain takes names, too, and changes nothing.
    if "" in sys.argv[1:] and sys.argv[1] != "explain":
        _refuse("an argument is empty: is it a variable of the shell without a value?", code=2)
    with warnings.catch_warnings(), _cleaning_up():
        warnings.simplefilter("ignore")  # a user cannot fix those of other libraries
        warnings.simplefilter("always", PluginWarning)
        warnings.simplefilter("always", PolicyWarning)
        warnings.simplefilter("always", ScheduleWarning)
        warnings.showwarning = _show_warning
        try:
            whole_app()(prog_name="secateur")
        except SecateurError as error:
            _refuse(str(error))
        except OSError as error:
            _refuse(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        except MemoryError as error:
            _refuse(f"out of memory: {error}")


def whole_app() -> typer.Typer:
    """Return the app with the commands of plugins; one of a name that is taken is left out."""
    whole = copy.copy(app)
    whole.registered_commands = [*app.registered_commands]
    for plugin, own in commands(typer.Typer):
        taken = {command.name for command in whole.registered_commands}
        for command in own.registered_commands:
            command.name = command.name or getattr(command.callback, "__name__", "")
            if command.name in taken:
                message = f"plugin {plugin}: there is a command {command.name!r} already"
                warnings.warn(message, PluginWarning, stacklevel=2)
            else:
                whole.registered_commands.append(command)
    for command in whole.registered_commands:
        command.help = command.help or _unwrapped(inspect.getdoc(command.callback) or "")
    return whole


def _unwrapped(text: str) -> str:
    """Return a text with one line for a paragraph, which the terminal's width then breaks."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """Leave by an exception when the process is told to end, so that no temporary file stays."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return
    known = [getattr(signal, name) for name in _TERMINATED_BY if hasattr(signal, name)]
    handled = [each for each in known if signal.getsignal(each) is signal.SIG_DFL]
    for each in handled:
        signal.signal(each, _exit)
    try:
        yield
    finally:
        for each in handled:
            signal.signal(each, signal.SIG_DFL)


def _exit(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)  # what a shell reports for a process that a signal ended


def _refuse(why: str, code: int = 1) -> NoReturn:
    sys.stderr.write(f"secateur: {printable('; '.join(why.splitlines()), _LONGEST_ERROR)}\n")
    sys.exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    text = "; ".join(str(message).splitlines())
    sys.stderr.write(f"secateur: warning: {printable(text, _LONGEST_ERROR)}\n")
