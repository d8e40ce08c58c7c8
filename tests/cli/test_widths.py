"""Every command fits the width it is shown in, in a pipe and on a real terminal."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

import secateur
from secateur.tables.cells import width_of

COMMANDS = {
    "plan": ["plan", "long.toml", "long.npz"],
    "plan --all": ["plan", "long.toml", "long.npz", "--all"],
    "prune": ["prune", "long.npz", "long.toml", "-o", "pruned.npz", "--masks", "masks.npz"],
    "inspect": ["inspect", "pruned.npz"],
    "report": ["report", "masks.npz"],
    "diff of policies": ["diff", "long.toml", "cnn-80", "--model", "long.npz",
                         "--total-steps", "1000"],
    "diff of files": ["diff", "long.npz", "pruned.npz"],
    "diff of twins": ["diff", "long.toml", "--model", "long.npz", "--model", "pruned.npz"],
    "targets": ["target"],
    "target": ["target", "tensorrt", "long.npz"],
    "plugins": ["plugins"],
    "policies": ["policies"],
}  # fmt: skip
POLICY = """
name = "long"
schedule = { kind = "polynomial", final_sparsity = 0.8, begin_step = 10, end_step = 900 }

[[rules]]
id = "the-embedding-and-all-that-is-like-it"
match = { kind = "embedding" }
prune = false

[[rules]]
match = { kind = "conv" }
schedule = { kind = "one_shot", final_sparsity = 0.5 }
pattern = { kind = "block", out = 4, in = 1 }
distribution = "erk"

[[rules]]
id = "rest"
distribution = "global"
"""
STYLES = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture
def _files(tmp_path):
    random = np.random.default_rng(0)
    arrays = {"model.embed_tokens.weight": random.normal(size=(64, 16)),
              "stem.convolution.weight": random.normal(size=(128, 64, 3, 3)),
              "名前の長い層.weight": random.normal(size=(4, 4)),
              "odd\x1b[31m\nname.weight": random.normal(size=(4, 4))}  # fmt: skip
    for number in range(12):
        layer = f"model.encoder.layers.{number}.self_attention.projection"
        arrays[f"{layer}.weight"] = random.normal(size=(16, 16))
        arrays[f"{layer}_norm.scale"] = np.ones(16)
    np.savez(tmp_path / "long.npz", **{name: a.astype("float32") for name, a in arrays.items()})
    (tmp_path / "long.toml").write_text(POLICY)


@pytest.mark.sampled(2)
@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize("width", [60, 80, 200])
def test_in_a_pipe_text_is_aligned_and_no_line_is_too_long(run, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for command, words in COMMANDS.items():
        outcome = run(*words)
        assert outcome.code == 0, outcome.err
        assert max(map(width_of, outcome.out.splitlines())) <= width, command
        assert "\x1b" not in outcome.out
        assert "━" not in outcome.out


CHILD = f"""
import sys
from secateur.cli import main
for words in {list(COMMANDS.values())!r}:
    sys.argv = ["secateur", *words]
    try:
        main()
    except SystemExit as error:
        assert not error.code, words
import secateur
policy = secateur.Policy.load("cnn-80")
import numpy
weights = {{f"layers.{{n}}:kernel": numpy.ones((4, 4)) for n in range(4)}}
print(secateur.plan(weights, policy), policy, secateur.prune(weights, policy), sep="\\n")
"""


def on_a_terminal(code: str, folder, width: int, **environment: str) -> str:
    """Return what a program shows on a pseudo-terminal of some width."""
    fcntl, pty, termios = (pytest.importorskip(name) for name in ("fcntl", "pty", "termios"))
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, np.array([50, width, 0, 0], np.uint16).tobytes())
    variables = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=there, stdout=there, stderr=there, cwd=folder,
        env={**variables, "TERM": "xterm-256color", "PYTHONUTF8": "1", **environment},
    )  # fmt: skip
    os.close(there)
    shown = bytearray()
    while True:
        try:
            shown += (part := os.read(here, 1 << 16))
        except OSError:  # how Linux says that the other side is closed
            part = b""
        if not part:
            break
    os.close(here)
    assert child.wait() == 0, shown.decode()
    return shown.decode().replace("\r\n", "\n")


@pytest.mark.slow
@pytest.mark.usefixtures("_files")
@pytest.mark.parametrize("width", [60, 80, 200])
def test_on_a_terminal_tables_are_drawn_and_no_line_is_too_long(tmp_path, width):
    shown = on_a_terminal(CHILD, tmp_path, width)
    drawn = STYLES.sub("", shown)
    # a bar of progress is drawn over, and taken away by codes of its own
    lines = [line for line in drawn.split("\n") if "\x1b[" not in line and "\r" not in line]
    assert max(map(width_of, lines)) <= width
    assert any(set(line) == {"─"} for line in lines)
    assert "\x1b[1m" in shown
    assert drawn.rstrip().endswith("weights stay")


@pytest.mark.slow
def test_a_terminal_without_box_characters_shows_text(tmp_path):
    code = "import secateur; print(secateur.Policy.load('cnn-80'))"
    for other in ({"TERM": "dumb"}, {"PYTHONIOENCODING": "ascii"}):
        shown = on_a_terminal(code, tmp_path, 80, **other)
        assert "\x1b" not in shown
        assert "-----" in shown


@pytest.mark.slow
def test_without_rich_a_terminal_shows_text(tmp_path):
    code = "import sys; sys.modules['rich'] = None; import secateur; "
    shown = on_a_terminal(code + "print(secateur.Policy.load('cnn-80'))", tmp_path, 80)
    assert "-----" in shown
    assert secateur.Policy.load("cnn-80").fingerprint[:12] in shown
