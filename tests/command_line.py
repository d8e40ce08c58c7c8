"""The command line as a user meets it: arguments in, text and an exit code out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Outcome]:
    """Run a command line in the test's folder."""
    from secateur.cli import main

    monkeypatch.chdir(tmp_path)

    def command(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["secateur", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capsys.readouterr()
        return Outcome(int(exited.value.code or 0), out, err)

    return command
