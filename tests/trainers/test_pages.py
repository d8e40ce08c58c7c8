"""The pages on trainers, run against the trainers themselves: ``make trainers`` installs them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

import torch  # noqa: F401 - before TensorFlow, which a page may import first

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
BLOCK = re.compile(r"^```py(?:thon)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.filterwarnings("default")  # those of the trainers are not ours


@pytest.mark.parametrize("page", ["lightning", "transformers", "tuners-and-folds"])
def test_every_example_of_a_page_runs_as_it_is_shown(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, code in enumerate(BLOCK.findall((HOW_TO / f"{page}.md").read_text()), 1):
        exec(compile(code, f"{page}, block {number}", "exec", dont_inherit=True), names)  # noqa: S102
