"""A process that imports frameworks once, and runs scripts in forks of itself.

A fork is a process of its own: it can be killed, and can be one rank of several.  It starts
at once, where a new process would import a framework for seconds.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Done:
    """How a script ended: its return code, negative for a signal, and what it wrote."""

    returncode: int
    output: str


class ForkServer:
    """The server as a test sees it.

    Args:
        modules: What it imports before it serves.
        environment: Variables to set for the server, and so for every script.

    """

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *modules],
            env=os.environ | dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, script: Path, *arguments: object, timeout: float = 300) -> Done:
        """Run a script to its end."""
        (done,) = self._ask(script, arguments, [{}], timeout)
        return done

    def run_ranks(
        self, ranks: int, script: Path, *arguments: object, timeout: float = 300
    ) -> list[Done]:
        """Run a script as each of some ranks, which find one another as under torchrun."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
        each = [address | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(ranks)]
        return self._ask(script, arguments, each, timeout)

    def close(self) -> None:
        """End the server."""
        self._process.communicate(timeout=60)

    def _ask(
        self,
        script: Path,
        arguments: Sequence[object],
        environments: list[dict[str, str]],
        timeout: float,
    ) -> list[Done]:
        job = {
            "script": str(script),
            "arguments": [str(argument) for argument in arguments],
            "environments": environments,
            "timeout": timeout,
        }
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the fork server ended with {self._process.wait()}")
        return [Done(**done) for done in json.loads(line)]


def serve(modules: Sequence[str]) -> None:
    """Import the modules, and run what each line of the input asks for."""
    sys.path.pop(0)  # the folder of this file, whose names are not modules
    for module in modules:
        import_module(module)
    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(
    script: str, arguments: list[str], environments: list[dict[str, str]], timeout: float
) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        logs = [Path(folder, str(number)) for number in range(len(environments))]
        pids = [
            _fork(script, arguments, environment, log)
            for environment, log in zip(environments, logs, strict=True)
        ]
        codes = _wait(pids, time.monotonic() + timeout)
        return [
            {"returncode": codes[pid], "output": log.read_text(errors="replace")}
            for pid, log in zip(pids, logs, strict=True)
        ]


def _fork(script: str, arguments: list[str], environment: dict[str, str], log: Path) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads that wait for work
        pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        _become(script, arguments, environment, log)
        code = 0
    except SystemExit as leaving:
        code = int(leaving.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _become(script: str, arguments: list[str], environment: dict[str, str], log: Path) -> None:
    """Turn this fork into the script."""
    written = os.open(log, os.O_WRONLY | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nothing), (1, written), (2, written)):
        os.dup2(source, target)
    os.environ.update(environment)
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(Path(script).parent))
    runpy.run_path(script, run_name="__main__")


def _wait(pids: Sequence[int], deadline: float) -> dict[int, int]:
    codes: dict[int, int] = {}
    while len(codes) < len(pids):
        for pid in set(pids) - set(codes):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                codes[pid] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
    return codes


if __name__ == "__main__":
    serve(sys.argv[1:])
