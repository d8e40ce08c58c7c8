"""Train and prune real networks, run by run, and write the pages of docs/results.

    make results [TASK=mnist] [QUICK=1] [SEEDS=3] [JOBS=1]
    python docs/examples/results/run.py [TASK] [--quick] [--seeds 3] [--jobs 1]

Each run has a process of its own, and leaves a line in docs/results/<task>.jsonl: what is there
is not done again, so a command that was stopped goes on.  Saved networks are in .cache/results.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from fnmatch import fnmatchcase
from pathlib import Path

os.environ.update(  # before a framework is imported
    TF_CPP_MIN_LOG_LEVEL="3",
    KERAS_BACKEND="tensorflow",
    CUDA_VISIBLE_DEVICES="",
    OMP_NUM_THREADS="1",
    TF_NUM_INTRAOP_THREADS="1",
    TF_NUM_INTEROP_THREADS="1",
)
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mnist
from pages import check_pages, draw_pictures, write_pages
from records import Line, Run, append, key, line_of, read
from repeats import repeat
from tasks import NAMES, load

_PRELOADED = ["torch", "secateur", "secateur_torch", "safetensors"]
_AND_KERAS = ["keras", "secateur_keras"]
FOLDER = mnist.CACHE / "results"


def make(run: Run) -> Line:
    """Make a run, and return its line."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    begin = _processor_seconds()
    outcome = load(run.task).make(run, FOLDER)
    return line_of(run, outcome, _processor_seconds() - begin)


def main() -> None:
    """Make the runs that have no line yet, and write the pages."""
    arguments = _arguments()
    if arguments.check_pages:
        raise SystemExit(check_pages())
    if arguments.repeat:
        print(repeat(arguments.task, make))
        return
    end = time.monotonic() + 60 * arguments.stop_after
    names = [arguments.task] if arguments.task else NAMES
    runs = [run for name in names for run in _missing(name, arguments)]
    if runs and not arguments.page_only:
        _make_all(runs, arguments.jobs, end)
    write_pages()
    draw_pictures()


def _processor_seconds() -> float:
    """Return the seconds of this process and of those that it waited for, such as a peer's."""
    return sum(os.times()[:4])


def _missing(name: str, arguments: argparse.Namespace) -> list[Run]:
    done = {key(line) for line in read(name)}
    found = {run.key: run for run in load(name).runs(arguments.quick)}.values()
    return [
        run
        for run in found
        if run.key not in done
        and run.seed < arguments.seeds
        and fnmatchcase(run.row, arguments.rows)
        and fnmatchcase(run.framework, arguments.frameworks)
    ]


def _make_all(runs: Sequence[Run], jobs: int, end: float) -> None:
    # a server imports the frameworks once, and every run is a fork of it
    context = multiprocessing.get_context("forkserver")
    in_keras = any(run.framework in ("keras", "both") for run in runs)
    context.set_forkserver_preload(_PRELOADED + _AND_KERAS * in_keras)
    with ProcessPoolExecutor(jobs, mp_context=context, max_tasks_per_child=1) as pool:
        waiting, going = list(runs), dict[Future[Line], Run]()
        while waiting or going:
            while waiting and len(going) < jobs and time.monotonic() < end:
                going[pool.submit(make, waiting[0])] = waiting[0]
                del waiting[0]
            if not going:
                break
            for future in wait(going, return_when=FIRST_COMPLETED).done:
                run = going.pop(future)
                _keep(run, future.result(), len(waiting) + len(going))


def _keep(run: Run, line: Line, left: int) -> None:
    append(run.task, line)
    told = f"{run.task}: {run.row}, {run.framework}, seed {run.seed}"
    print(f"{told}: {line['value']:.2f} in {line['processor seconds']} s; {left} left", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("task", nargs="?", choices=NAMES, help="one task; all without it")
    parser.add_argument("--quick", action="store_true", help="the short runs that a test repeats")
    parser.add_argument("--seeds", type=int, default=3, help="how many, at most")
    parser.add_argument("--rows", default="*", metavar="GLOB", help="such as '*90 %%'")
    parser.add_argument("--frameworks", default="*", metavar="GLOB", help="such as torch")
    parser.add_argument("--jobs", type=int, default=1, help="how many runs at a time")
    parser.add_argument("--stop-after", type=float, default=1e9, metavar="MINUTES")
    parser.add_argument("--page-only", action="store_true", help="write the pages, make no run")
    parser.add_argument("--check-pages", action="store_true", help="say whether they are written")
    parser.add_argument("--repeat", action="store_true", help="make one short run of TASK again")
    found = parser.parse_args()
    if found.repeat and not found.task:
        parser.error("--repeat needs a task")
    return found


if __name__ == "__main__":
    main()
