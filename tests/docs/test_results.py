"""The pages of results show what the recorded runs say, and a run made again says the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "docs" / "examples" / "results" / "run.py"
RESULTS = ROOT / "docs" / "results"
LINES = [path for path in RESULTS.glob("*.jsonl") if '"fingerprint"' in path.read_text()[:20_000]]
NEEDED = {"row", "framework", "seed", "policy", "fingerprint", "metric", "value", "weights"}
NEEDED |= {"nonzeros", "versions", "machine", "commit"}


def run(*command: object) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_figure_of_a_page_of_results_has_a_run_behind_it():
    done = run(sys.executable, SCRIPT, "--check-pages")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", LINES, ids=lambda path: path.stem)
def test_a_line_says_how_its_run_was_made(path: Path):
    for line in map(json.loads, path.read_text().splitlines()):
        assert line.keys() >= NEEDED, line["row"]
        assert (line["fingerprint"] is None) == (line["policy"] is None), line["row"]


def test_masks_of_both_frameworks_are_equal_wherever_they_were_compared():
    found = [json.loads(line) for path in LINES for line in path.read_text().splitlines()]
    compared = [line for line in found if "mask bits that differ" in line]
    assert compared
    assert all(line["mask bits that differ"] == 0 < line["mask bits"] for line in compared)


def test_every_accuracy_in_the_readme_is_on_a_page_of_results():
    told = re.findall(r"(\d\d\.\d+) %", (ROOT / "README.md").read_text())
    pages = " ".join(path.read_text() for path in RESULTS.glob("*.md"))
    measured = [float(number) for number in re.findall(r"\b\d\d\.\d\d\b", pages)]
    for number in told:
        places = len(number.split(".")[1])
        assert any(f"{value:.{places}f}" == number for value in measured), number


@pytest.mark.slow  # it trains
@pytest.mark.parametrize(
    "task", ["mnist", "speech", "criteria", "starts", "ready", "full_size", "pretrained"]
)
def test_a_quick_run_made_again_lies_within_the_interval_of_the_page(task: str):
    done = run(sys.executable, SCRIPT, task, "--repeat")
    if "not here" in done.stderr and "CI" not in os.environ:
        pytest.skip(done.stderr)  # `make test` brings the data
    assert done.returncode == 0, done.stderr
