"""Make one quick run of a task again, and say whether it lies within the interval of its page.

python docs/examples/results/repeat.py TASK
"""

from __future__ import annotations

import sys

from intervals import of_next
from pages import between
from records import key, read
from run import make  # sets the environment, before a framework is imported
from tasks import NAMES, load


def main(name: str) -> None:
    """Repeat the first quick run of a task that pruned a network.

    Raises:
        SystemExit: It leaves the interval, or there is no such run.

    """
    quick = [line for line in read(name) if line["quick"] and line["policy"]]
    if not quick:
        raise SystemExit(f"{name} has no quick run that pruned a network")
    row, framework = quick[0]["row"], quick[0]["framework"]
    same = [line for line in quick if (line["row"], line["framework"]) == (row, framework)]
    (run,) = {run.key: run for run in load(name).runs(True) if run.key == key(quick[0])}.values()
    interval, found = of_next([line["value"] for line in same]), make(run)["value"]
    told = f"{name}: {row}, {framework}: {found:.2f}; the page says {between(interval)}"
    if interval.reach is None or found not in interval:
        raise SystemExit(told)
    print(told)


if __name__ == "__main__":
    if sys.argv[1:] not in [[name] for name in NAMES]:
        raise SystemExit(f"name one task: {', '.join(NAMES)}")
    main(sys.argv[1])
