"""One quick run made again: does it lie within the interval of its page?"""

from __future__ import annotations

from collections.abc import Callable

from intervals import of_next
from pages import between
from records import Line, Run, key, read
from tasks import load


def repeat(name: str, make: Callable[[Run], Line]) -> str:
    """Make the first quick run of a task that pruned a network again, and return what it came to.

    Raises:
        SystemExit: It leaves the interval, or there is no such run.

    """
    quick = [line for line in read(name) if line["quick"] and line["policy"]]
    if not quick:
        raise SystemExit(f"{name} has no quick run that pruned a network")
    row, framework = quick[0]["row"], quick[0]["framework"]
    values = [x["value"] for x in quick if (x["row"], x["framework"]) == (row, framework)]
    runs = {run.key: run for run in load(name).runs(True)}
    found, interval = make(runs[key(quick[0])])["value"], of_next(values)
    told = f"{name}: {row}, {framework}: {found:.2f}; the page says {between(interval)}"
    if interval.reach is None or found not in interval:
        raise SystemExit(told)
    return told
