"""The pages of docs/results that show the runs: nothing on them is written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from intervals import Interval, of_difference, of_next
from page_tables import table
from policies import DENSE
from records import RESULTS, Line, key, read
from tasks import NAMES, Task, load

FRAMEWORKS = {"keras": "Keras", "torch": "PyTorch", "both": "both", "tfmot": "TFMOT"}
"""How a framework is called on a page; a peer that is not here is called by its own name."""
_BEGIN, _END = "<!-- written by make results -->", "<!-- end of what make results writes -->"


def write_pages() -> None:
    """Write the page of every task that has lines, and the table of the first page."""
    for path, text in _pages().items():
        path.write_text(text, encoding="utf-8")


def draw_pictures() -> None:
    """Draw the pictures of the pages."""
    for name in NAMES:
        if (draw := load(name).pictures) and (lines := read(name)):
            draw(lines, RESULTS)


def check_pages() -> str | None:
    """Return what is wrong where a page is not what the lines say."""
    wrong = [path.name for path, text in _pages().items() if _differs(path, text)]
    return f"{', '.join(wrong)}: run make results" if wrong else None


def _differs(path: Path, text: str) -> bool:
    return not path.exists() or path.read_text(encoding="utf-8") != text


def _pages() -> dict[Path, str]:
    told = {name: lines for name in NAMES if (lines := read(name))}
    found = {RESULTS / f"{name}.md": page(name, load(name), told[name]) for name in told}
    for name, lines in told.items():
        found |= load(name).elsewhere(lines)
    first = RESULTS / "index.md"
    text = first.read_text(encoding="utf-8")
    before, after = text.split(_BEGIN)[0], text.split(_END)[1]
    return found | {first: f"{before}{_BEGIN}\n\n{overview(told)}\n\n{_END}{after}"}


def page(name: str, task: Task, lines: Sequence[Line]) -> str:
    """Return the page of a task."""
    command = f"make results TASK={name}"
    head = (
        f"# {task.title}\n\nWritten by `{command}` (`{command} QUICK=1`: its quick rows) from the "
        f"lines of `docs/results/{name}.jsonl`, one a run."
    )
    return f"{head} {_made(task, lines)}\n\n{task.page(lines).strip()}\n\n{_measured(lines)}\n"


def overview(told: dict[str, list[Line]]) -> str:
    """Return the headline rows of every task."""
    rows = []
    for name, lines in told.items():
        task = load(name)
        title = f"[{task.title}]({name}.md)"
        full = [line for line in lines if not line["quick"]]
        rows += [(title, *row) for row in rows_of(full, task.headline, DENSE)]
    head = ("task", "row", "in", "mean", "deviation", "seeds", "to dense", "95 % interval")
    return table((*head, "non-zeros"), rows, words=3)


def comparison(lines: Iterable[Line], order: Sequence[str], base: str) -> str:
    """Return a table of runs, a row for each row and framework, with the difference to a base.

    Args:
        lines: The runs.
        order: The rows, in the order in which they stand.
        base: The row that the others are compared with, in the same framework and seed by seed.

    """
    head = ("row", "in", "mean", "deviation", "seeds", "to dense", "95 % interval", "non-zeros")
    return table(head, rows_of(lines, order, base), words=2)


def rows_of(lines: Iterable[Line], order: Sequence[str], base: str) -> Iterator[tuple[object, ...]]:
    """Yield the rows of `comparison`."""
    lines = list(lines)
    for row in order:
        for framework in dict.fromkeys(line["framework"] for line in lines):
            found = _values(lines, row, framework)
            if not found:
                continue
            values = list(found.values())
            spread = f"{stdev(values):.2f}" if len(values) > 1 else ""
            difference = None
            if row != base:
                difference = of_difference(found, _values(lines, base, _base(framework)))
            kept = [x["nonzeros"] for x in lines if (x["row"], x["framework"]) == (row, framework)]
            name = FRAMEWORKS.get(framework, framework)
            middle = f"{mean(values):.2f}"
            yield row, name, middle, spread, len(values), *_cells(difference), kept[0]


def quick_rows(lines: Iterable[Line]) -> str:
    """Return a table of the quick runs: a test checks that they come out again."""
    quick = [line for line in lines if line["quick"]]
    rows = []
    for row in dict.fromkeys(line["row"] for line in quick):
        for framework in dict.fromkeys(line["framework"] for line in quick):
            if found := _values(quick, row, framework):
                interval = of_next(list(found.values()))
                name = FRAMEWORKS.get(framework, framework)
                rows.append((row, name, f"{interval.mean:.2f}", len(found), between(interval)))
    return table(("row", "in", "mean", "seeds", "one more run, 95 %"), rows, words=2)


def sections(*parts: tuple[str, str, str]) -> str:
    """Return sections of a title, a text and a table; one without rows is left out."""
    found = []
    for title, text, rows in parts:
        if rows == "always":
            found.append(text)
        elif rows.count("\n") > 1:
            found.append(f"## {title}\n\n{text}\n\n{rows}")
    return "\n\n".join(found)


@dataclass(frozen=True)
class Aim:
    """What was hoped for of a row.

    Attributes:
        row: The row.
        most_below: How far its mean may lie below dense; None where dense must lie within the
            interval of the difference, or below it.

    """

    row: str
    most_below: float | None = None


def aims(lines: Sequence[Line], wanted: Iterable[Aim], base: str) -> str:
    """Return a table of what was hoped for, and whether it was met."""
    rows = []
    for aim in wanted:
        for framework in ("torch", "keras"):
            values = _values(lines, aim.row, framework)
            found = of_difference(values, _values(lines, base, framework))
            if found and found.reach is not None:
                if aim.most_below is None:
                    words = "not below dense by more than the interval"
                    met = found.mean + found.reach >= 0
                else:
                    words = f"at most {aim.most_below} points below dense"
                    met = found.mean >= -aim.most_below
                cells = (f"{aim.row}: {words}", FRAMEWORKS[framework], *_cells(found))
                rows.append((*cells, "met" if met else "missed"))
    return table(("aim", "in", "to dense", "95 % interval", "the aim is"), rows, words=2)


def agreement(lines: Iterable[Line]) -> str:
    """Return a table of the networks that were pruned in both frameworks."""
    rows = [
        (
            line["row"],
            line["mask bits"],
            line["mask bits that differ"],
            f"{line['in Keras']:.2f}",
            f"{line['value']:.2f}",
        )
        for line in lines
        if line["framework"] == "both"
    ]
    return table(("row", "mask bits", "that differ", "in Keras", "in PyTorch"), rows)


def tried_rows(lines: Iterable[Line], word: str) -> str:
    """Return a table of what was tried on the samples for choosing."""
    found: dict[str, list[float]] = {}
    for line in lines:
        if line["row"].startswith(word):
            found.setdefault(line["row"].removeprefix(word), []).append(line["validation"])
    rows = [
        (row, f"{mean(values):.2f}", f"{stdev(values):.2f}" if len(values) > 1 else "", len(values))
        for row, values in found.items()
    ]
    return table(("tried", "samples for choosing", "deviation", "seeds"), rows)


def between(interval: Interval) -> str:
    """Return an interval in words."""
    if interval.reach is None:
        return ""
    return f"{interval.mean - interval.reach:.2f} to {interval.mean + interval.reach:.2f}"


def _cells(interval: Interval | None) -> tuple[str, str]:
    if interval is None:
        return "", ""
    if interval.reach is None:
        return f"{interval.mean:+.2f}", "one seed"
    low, high = interval.mean - interval.reach, interval.mean + interval.reach
    return f"{interval.mean:+.2f}", f"{low:+.2f} to {high:+.2f}"


def _values(lines: Iterable[Line], row: str, framework: str) -> dict[int, float]:
    return {
        line["seed"]: line["value"]
        for line in lines
        if (line["row"], line["framework"]) == (row, framework)
    }


def _base(framework: str) -> str:
    """Return the framework whose dense network a peer is compared with."""
    return {"tfmot": "keras", "torch.nn.utils.prune": "torch"}.get(framework, framework)


def _made(task: Task, lines: Sequence[Line]) -> str:
    """Return a line on how many of the runs of the tables are made."""
    wanted = {run.key for run in task.runs(False)}
    made = wanted & {key(line) for line in lines}
    if len(made) == len(wanted):
        return f"All {len(wanted)} runs of its tables are made."
    return (
        f"**{len(made)} of the {len(wanted)} runs of its tables are made**: the command goes on "
        "with the others, and a row that is not here has no run yet."
    )


def _measured(lines: Sequence[Line]) -> str:
    versions = {
        f"{name} {version}"
        for line in lines
        for name, version in line["versions"].items()
        if name != "secateur"
    }
    machines = {line["machine"] for line in lines}
    commits = sorted({line["commit"][:9] for line in lines})
    minutes = sum(line["processor seconds"] for line in lines) / 60
    return (
        f"{len(lines)} runs, {minutes:.0f} minutes of one processor in all. Measured with "
        f"{', '.join(sorted(versions))}, and the library at {', '.join(commits)}; "
        f"{'; '.join(sorted(machines))}."
    )
