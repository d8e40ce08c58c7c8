"""Converters print a lot, from C++ too; none of it reaches a user's terminal."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any


@contextmanager
def quiet() -> Iterator[None]:
    """Keep away what is printed, logged or warned of, by Python and by C++.

    Example:
        >>> with quiet():
        ...     print("START convert")

    """
    disabled = logging.root.manager.disable
    with (
        warnings.catch_warnings(),
        tempfile.TemporaryFile("w+") as said,
        _descriptor(1, said.fileno()),
        _descriptor(2, said.fileno()),
        redirect_stdout(said),
        redirect_stderr(said),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
            for handler in _handlers_on(said):
                handler.setStream(sys.__stderr__ or sys.stderr)


def _handlers_on(stream: object) -> Iterator[logging.StreamHandler[Any]]:
    """Yield the handlers of a library that was imported meanwhile: the stream will be closed."""
    named = logging.root.manager.loggerDict.values()
    for logger in (logging.root, *(each for each in named if isinstance(each, logging.Logger))):
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream is stream:
                yield handler


@contextmanager
def _descriptor(number: int, other: int) -> Iterator[None]:
    """Let what is written to a descriptor go to another one."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    try:
        kept = os.dup(number)
    except OSError:  # closed, as it is for a service
        yield
        return
    try:
        os.dup2(other, number)
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)
