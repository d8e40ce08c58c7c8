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
        SystemExit: It leaves the interval, or there is no such run; one that was recorded with a
            single seed has to come out the same.

    """
    short = [line for line in read(name) if line["quick"] and line["policy"]]
    quick = [line for line in short if line["nonzeros"] < line["weights"]]
    if not quick:
        raise SystemExit(f"{name} has no quick run that pruned a network")
    row, framework = quick[0]["row"], quick[0]["framework"]
    values = [x["value"] for x in quick if (x["row"], x["framework"]) == (row, framework)]
    runs = {run.key: run for run in load(name).runs(True)}
    found, interval = make(runs[key(quick[0])])["value"], of_next(values)
    if interval.reach is None:  # nothing is left to chance, so that it was recorded once
        told = f"{name}: {row}, {framework}: {found}; the page says {values[0]}"
        same = found == values[0]
    else:
        told = f"{name}: {row}, {framework}: {found:.2f}; the page says {between(interval)}"
        same = found in interval
    if not same:
        raise SystemExit(told)
    return told
