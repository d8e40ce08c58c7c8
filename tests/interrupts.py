"""Ctrl-C at each line that runs in a package, one after another."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from tests.cases import some


class Interrupts:
    """Raises KeyboardInterrupt at one line that runs in a package: the n-th one that counts.

    Args:
        package: The package.
        seen: How often a line counts: when it runs for the first times.
        wanted: Which line; None to count them only.

    """

    def __init__(self, package: ModuleType, seen: int = 1, wanted: int | None = None) -> None:
        self._folder = str(Path(str(package.__file__)).parent)
        self._seen, self._wanted = seen, wanted
        self._lines: Counter[tuple[str, int]] = Counter()
        self.count = 0

    def __call__(self, frame: FrameType, event: str, arg: Any) -> Any:
        if not frame.f_code.co_filename.startswith(self._folder):
            return None
        if event == "line":
            line = (frame.f_code.co_filename, frame.f_lineno)
            self._lines[line] += 1
            if self._lines[line] <= self._seen:
                self.count += 1
                if self.count == self._wanted:
                    sys.settrace(None)
                    raise KeyboardInterrupt(f"{line[0]}:{line[1]}")
        return self

    def during(self, act: Callable[[], Any]) -> Any:
        """Return what an action returns."""
        before = sys.gettrace()
        sys.settrace(self)
        try:
            return act()
        finally:
            sys.settrace(before)


def lines_of(
    package: ModuleType, prepare: Callable[[], Any], act: Callable[..., Any], seen: int = 1
) -> int:
    """Return how many lines an action runs, each counted as often as it is interrupted."""
    act(*prepare())  # what is loaded and compiled on first use does not count
    things, counter = prepare(), Interrupts(package, seen)
    counter.during(lambda: act(*things))
    return counter.count


def each_interrupted(
    package: ModuleType, prepare: Callable[[], Any], act: Callable[..., Any], seen: int = 1
) -> Iterator[Any]:
    """Yield what was prepared, after the action was interrupted at each of its lines in turn.

    Without ``--all``, at some of them.
    """
    lines, interrupted = lines_of(package, prepare, act, seen), 0
    wanted_lines = some(range(1, lines + 1), 30)
    for wanted in wanted_lines:
        things = prepare()
        try:
            Interrupts(package, seen, wanted).during(lambda things=things: act(*things))
        except BaseException as error:
            if "KeyboardInterrupt" not in repr(error):  # pydantic wraps one in an error of its own
                raise
            interrupted += 1
            yield things
    assert interrupted > 0.9 * len(wanted_lines)  # a few lines depend on what else is alive
