"""Measure, side by side with the peers, and write docs/benchmarks.md.

    python -m tests.benchmarks [--peers PYTHON] [--parts core whole torch keras gradients]
        [--rounds 7] [--size 1.0] [--before FOLDER]

--peers names the Python of an environment with peers-requirements.txt; without it the tables
against TFMOT are left out.  --before names a checkout of an earlier secateur, which "gradients"
measures too.  Parts that are not measured stay in the document as they are.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "benchmarks.md"
PARTS = {
    "core": ("core_speed.py", "Computing masks", "What the columns mean, and how it was measured"),
    "whole": ("whole_calls.py", "Whole calls", "What the columns mean, and how it was measured"),
    "torch": ("torch_overhead.py", "A PyTorch training step", "How it was measured"),
    "keras": ("keras_overhead.py", "A Keras training step", "How it was measured"),
    "gradients": ("gradients.py", "Criteria that watch training", "How it was measured"),
}
INTRODUCTION = """\
# Benchmarks

Written by `make bench`. Everything in a table was measured in one run, in turn; ratios travel
better between machines than milliseconds do."""
PACKAGES = ("numpy", "torch", "tensorflow", "keras", "ml_dtypes")


def main() -> None:
    """Measure the parts, and write the document."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", metavar="PYTHON")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--size", type=float)
    parser.add_argument("--before", metavar="FOLDER")
    options = parser.parse_args()
    for part in options.parts:
        script, title, how = PARTS[part]
        where, arguments = machine(), list[str]()
        if options.rounds:
            arguments += ["--rounds", str(options.rounds)]
        if part in ("core", "whole") and options.size:
            arguments += ["--size", str(options.size)]
        if options.peers and part in ("core", "keras"):
            arguments += ["--peers" if part == "core" else "--tfmot", options.peers]
        if options.before and part == "gradients":
            arguments += ["--before", options.before]
        source = f"{how}: `tests/benchmarks/{script}`."
        write(title, f"{source}\n\n{where}\n\n{run(script, arguments)}")
    print(DOCUMENT)


def write(title: str, text: str) -> None:
    """Put a section into the document, in the place of an older one."""
    _, *old = DOCUMENT.read_text(encoding="utf-8").split("\n## ")
    sections = dict(section.split("\n\n", 1) for section in old) | {title: text}
    titles = [known for _, known, _ in PARTS.values() if known in sections]
    parts = [INTRODUCTION, *(f"## {known}\n\n{sections[known].strip()}" for known in titles)]
    DOCUMENT.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def run(script: str, arguments: list[str]) -> str:
    """The tables that a script prints."""
    command = [sys.executable, str(HERE / script), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def machine() -> str:
    """What it was measured on, without the machine's name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    found = [
        f"{processor()}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB",
        f"{platform.system()}, Python {platform.python_version()}",
        ", ".join(f"{name} {known}" for name in PACKAGES if (known := installed(name))),
        f"other work on the machine at the start: load {os.getloadavg()[0]:.1f}",
        f"{datetime.now(UTC):%Y-%m-%d}",
    ]
    return "\n".join(f"- {line}" for line in found)


def processor() -> str:
    """The processor's model and widest vector unit."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown")
    flags = next((line for line in lines if line.startswith("flags")), "")
    widest = next((name for name in ("avx512f", "avx2") if name in flags), "")
    return f"{model} ({widest})" if widest else model


def installed(package: str) -> str | None:
    """The version of a package, if it is there."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
