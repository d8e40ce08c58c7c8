"""What each command says of itself: an example that runs, and completion in the shell."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys

import numpy as np
import pytest

import secateur
from secateur.cli import whole_app
from secateur.cli.app import MODELS
from secateur.policy import ready
from secateur.shipping.model_files import model_suffixes

EXAMPLE = "Example: secateur "


def test_the_example_of_each_command_runs(run, npz, half, tmp_path):
    npz.rename(tmp_path / "model.npz")
    (tmp_path / "policy.toml").write_text(half.read_text())
    (tmp_path / "theirs.toml").write_text(half.read_text().replace("0.5", "0.75"))
    recorder = secateur.Recorder(tmp_path / "run.npz")
    secateur.prune({"fc": np.eye(8)}, half, observers=[recorder])
    commands = sorted(whole_app().registered_commands, key=_order)
    for command in commands:
        assert command.epilog.startswith(EXAMPLE), f"{command.name} shows no example in its help"
        words, _, _ = command.epilog.removeprefix(EXAMPLE).partition(" > ")
        assert words.split()[0] == command.name
        outcome = run(*shlex.split(words))
        assert outcome.code == 0, (words, outcome.err)


def _order(command) -> int:
    """Return when a command is run: those that write what others read come first."""
    first = ["prune", "pack"]
    return first.index(command.name) if command.name in first else len(first)


def test_the_example_is_shown_by_help(run):
    outcome = run("plan", "--help")
    assert "Example: secateur plan policy.toml" in outcome.out


def test_the_help_names_every_file_that_is_read():
    for suffix in model_suffixes():
        if suffix != ".hdf5":  # no kind of its own: read only to say that the format is too old
            assert suffix.removeprefix("." if suffix == ".packed" else "") in MODELS


@pytest.mark.slow
def test_the_shell_completes_commands_and_policies(tmp_path):
    (tmp_path / "cnn-ours.toml").touch()

    def completed(*words: str) -> list[str]:
        asked = {
            "_SECATEUR_COMPLETE": "complete_bash",
            "COMP_WORDS": " ".join(["secateur", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = subprocess.run(
            [sys.executable, "-m", "secateur"],
            env={**os.environ, **asked}, cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.stdout.split()

    assert completed("expl") == ["explain"]
    cnns = [name for name in ready.names() if name.startswith("cnn")]
    assert completed("plan", "cnn") == [*cnns, "cnn-ours.toml"]
