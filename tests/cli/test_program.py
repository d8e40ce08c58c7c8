"""The command line as a program: signals, pipes, encodings, and what it needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from secateur.cli import main

pytestmark = pytest.mark.slow  # many start a process

RUN = "from secateur.cli import main; main()"
SLOW_WRITE = """
import os, signal, time
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup makes every process ignore
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell does in the background
def slow(descriptor):
    print("writing", flush=True)
    time.sleep(60)
os.fsync = slow
"""


def started(code: str, *words: object, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code + RUN, *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


@pytest.mark.sampled(3)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL])
def test_a_signal_while_a_file_is_written_leaves_only_the_old_one(npz, half, tmp_path, number):
    (tmp_path / "p.npz").write_bytes(b"old")
    before = sorted(tmp_path.iterdir())
    with started(SLOW_WRITE, "prune", npz, half, "-o", tmp_path / "p.npz") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode in {128 + number, 1, -number}
    assert "Traceback" not in error
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "p.npz").read_bytes() == b"old"


def test_a_signal_that_is_ignored_stays_so(run):
    """As nohup does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run("--version").code == 0
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signals_are_as_before_afterwards_and_other_threads_may_run_it(run, monkeypatch):
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    assert run("--version").code == 0
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
    codes = []

    def command() -> None:
        try:
            main()
        except SystemExit as exit_:
            codes.append(exit_.code)

    monkeypatch.setattr(sys, "argv", ["secateur", "--version"])
    thread = threading.Thread(target=command)
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_reader_that_leaves_early_is_no_error_of_ours(tmp_path):
    arrays = {f"layer{number}.weight": np.ones((2, 2)) for number in range(1000)}
    np.savez(tmp_path / "m.npz", **arrays)
    with started("", "inspect", tmp_path / "m.npz", "--json") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""


@pytest.mark.sampled(2)
@pytest.mark.parametrize(("module", "words"), [("typer", []), ("rich", ["plan", "a", "b"])])
def test_without_typer_it_says_what_to_install(module, words):
    code = f"import sys; sys.modules['{module}'] = None\n"
    process = started(code, *words)
    out, error = process.communicate(timeout=60)
    assert (process.returncode, out) == (1, "")
    assert error == 'secateur: the command line needs typer: pip install "secateur[cli]"\n'


def test_an_error_of_our_own_is_not_taken_for_a_missing_typer():
    code = "import sys; sys.modules['secateur.cli.output'] = None\n"
    process = started(code, "--help")
    _, error = process.communicate(timeout=60)
    assert "secateur.cli.output" in error


def test_the_package_runs_as_a_module(half, npz):
    words = [sys.executable, "-m", "secateur", "plan", half, npz]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "fc:kernel" in done.stdout


@pytest.mark.sampled(3)
@pytest.mark.parametrize("words", [["inspect"], ["inspect", "--json"], ["prune"]])
def test_names_that_the_terminal_cannot_encode_are_escaped(tmp_path, half, words):
    np.savez(tmp_path / "m.npz", **{"schicht-ö.weight": np.ones((2, 2))})
    rest = [half, "-o", tmp_path / "p.npz"] if words == ["prune"] else []
    process = started("", *words, tmp_path / "m.npz", *rest,
                      env={**os.environ, "PYTHONIOENCODING": "ascii"})  # fmt: skip
    out, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert "schicht-" in out


def test_too_little_memory_is_one_line(run, npz, monkeypatch):
    from secateur.checkpoints.npz import NpzCheckpoint

    def read(*_):
        raise MemoryError("Unable to allocate 8.00 EiB")

    monkeypatch.setattr(NpzCheckpoint, "read", read)
    outcome = run("inspect", npz)
    assert outcome.code == 1
    assert outcome.err == "secateur: out of memory: Unable to allocate 8.00 EiB\n"


@pytest.mark.parametrize("words", [
    ["inspect", "m.npz"], ["inspect", "m.safetensors"], ["diff", "a.npz", "m.npz"],
])  # fmt: skip
def test_a_file_that_may_not_be_read_is_named(run, monkeypatch, words):
    for name in words[1:]:
        Path(name).write_bytes(b"x") if name != "a.npz" else np.savez("a.npz", a=np.ones(2))
    opened = Path.open

    def refuse(self, *args, **kwargs):
        if self.stem == "m":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    outcome = run(*words)
    assert outcome.code == 1
    [line] = outcome.err.splitlines()
    assert words[-1] in line
