"""One run, and the line that records it: a task's lines are docs/results/<task>.jsonl."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from counting import counts
from json_lines import Line, append_line, read_lines

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "docs" / "results"
_TOLD = {
    "keras": ("keras", "tensorflow"),
    "torch": ("torch",),
    "both": ("keras", "tensorflow", "torch"),
    "tfmot": ("tensorflow-model-optimization", "tf-keras", "tensorflow"),
    "torch.nn.utils.prune": ("torch",),
}
"""The packages whose versions a line names, by framework."""


@dataclass(frozen=True)
class Run:
    """One training or pruning of one network.

    Attributes:
        task: The task it belongs to.
        row: The row of the table that it counts for.
        framework: "keras", "torch", "both", or a peer.
        seed: Of the initial weights and the order of the samples.
        quick: Whether it is one of the short runs that a test repeats.
        policy: What it is pruned by; None where secateur prunes nothing.
        options: What else the task needs to know.

    """

    task: str
    row: str
    framework: str
    seed: int = 0
    quick: bool = False
    policy: Mapping[str, Any] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[object, ...]:
        """What tells it from every other run of its task."""
        return self.row, self.framework, self.seed, self.quick

    @property
    def name(self) -> str:
        """A name for its files."""
        words = (self.task, self.framework, self.row, self.seed, *(("quick",) * self.quick))
        kept = ("".join(c if c.isalnum() else "-" for c in str(word)) for word in words)
        return "-".join(kept)


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        metric: The name of what was measured.
        value: Its value on the test data.
        file: What was saved; its non-zeros are counted by reading it again.
        more: Other figures.

    """

    metric: str
    value: float
    file: Path | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def line_of(run: Run, outcome: Outcome, seconds: float) -> Line:
    """Return the line that records a run."""
    counted = counts(outcome.file) if outcome.file else {}
    return {
        "row": run.row,
        "framework": run.framework,
        "seed": run.seed,
        "quick": run.quick,
        "metric": outcome.metric,
        "value": outcome.value,
        **outcome.more,
        "weights": sum(of for of, _ in counted.values()),
        "nonzeros": sum(nonzero for _, nonzero in counted.values()),
        "by weight": counted,
        "policy": run.policy,
        "fingerprint": _fingerprint(run.policy),
        "options": dict(run.options),
        "processor seconds": round(seconds, 1),
        "versions": _versions(run.framework),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "commit": _commit(),
    }


def read(task: str) -> list[Line]:
    """Return the lines of a task; half a line at the end, of a run that was killed, is cut off."""
    return read_lines(_path(task), key)


def append(task: str, line: Line) -> None:
    """Add a line to those of a task."""
    append_line(_path(task), line)


def _path(task: str) -> Path:
    return RESULTS / f"{task}.jsonl"


def key(line: Line) -> tuple[object, ...]:
    """Return the `Run.key` of the run that a line records."""
    return tuple(line[word] for word in ("row", "framework", "seed", "quick"))


def _fingerprint(policy: Mapping[str, Any] | None) -> str | None:
    if policy is None:
        return None
    import secateur

    return secateur.Policy.parse(policy).fingerprint


def _versions(framework: str) -> dict[str, str]:
    found = {}
    for package in ("secateur", "numpy", *_TOLD[framework]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # secateur, in the environment of the peers
            continue
    return found


def _commit() -> str:
    """Return the last commit that changed the library."""
    command = ["git", "log", "-1", "--format=%H", "--", "core", "adapters", "plugins"]
    return subprocess.check_output(command, cwd=ROOT, text=True).strip()  # noqa: S603
