"""Estimates of Arm's Vela: it compiles an int8 .tflite file for an Ethos-U, and counts."""

from __future__ import annotations

import csv
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from secateur.errors import TargetError

_USUAL = {"ethos-u55": "ethos-u55-128", "ethos-u85": "ethos-u85-256"}
_FAMILIES = {"ethos-u55": ("ethos-u55-", "ethos-u65-"), "ethos-u85": ("ethos-u85-",)}
_LONGEST_RUN = 600
"""How many seconds Vela may take."""
_FIGURES = {
    "cycles": "cycles_total",
    "cycles of computing alone": "cycles_npu",
    "bytes of compressed weights": "total_npu_encoded_weights",
    "multiply-adds before": "nn_macs",
}
"""What is reported, and the column of Vela's summary that holds it."""
_ON_PROCESSOR = re.compile(r"CPU operators = (\d+) \((.*?)\)")


@dataclass(frozen=True)
class Compiled:
    """What Vela says of a file.

    Attributes:
        configuration: The device and its memory, in Vela's words.
        figures: The figures, by what they count.
        notes: What they do not hold.

    """

    configuration: str
    figures: Mapping[str, int]
    notes: tuple[str, ...]


def vela(target: str, path: Path, configuration: str | None = None) -> Compiled:
    """Return what Vela estimates for a file, which it compiles in a process of its own.

    Args:
        target: ``ethos-u55`` or ``ethos-u85``.
        path: An int8 .tflite file.
        configuration: Vela's name of an accelerator.

    Raises:
        TargetError: Vela refuses the file or the configuration, or nothing of it runs on the
            accelerator.
        OSError: The file cannot be read.

    """
    with path.open("rb"):  # a file that is not there is an error of ours
        pass
    chosen = configuration or _USUAL[target]
    if not chosen.startswith(_FAMILIES[target]):
        raise TargetError(
            f"{chosen!r:.80} is no configuration of {target}, such as {_USUAL[target]}"
        )
    with TemporaryDirectory() as folder:
        said = _run(path, chosen, folder)
        summaries = sorted(Path(folder).glob("*_summary_*.csv"))
        if not summaries:
            raise TargetError(f"{path}: Vela refuses it: {_last_line(said)}")
        with summaries[0].open(newline="") as file:
            row = next(csv.DictReader(file))
    on_processor = _ON_PROCESSOR.search(said)
    notes: tuple[str, ...] = ()
    if on_processor and on_processor[1] != "0":
        notes = (f"{on_processor[1]} operators run on the processor, and are not counted",)
        if on_processor[2].startswith("100"):
            raise TargetError(
                f"{path}: nothing of it runs on an {target}: are weights and activations int8? "
                "secateur export MODEL --to litert --quantize int8 -o model.tflite"
            )
    words = (row["accelerator_configuration"], row["system_config"], row["memory_mode"])
    figures = {name: int(float(row[column])) for name, column in _FIGURES.items()}
    return Compiled(", ".join(words), figures, notes)


def _run(path: Path, configuration: str, folder: str) -> str:
    command = [sys.executable, "-m", "ethosu.vela", str(path.resolve())]
    command += ["--accelerator-config", configuration, "--output-dir", folder]
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter, no shell
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LONGEST_RUN,
            check=False,
            cwd=folder,
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"{path}: Vela took longer than {_LONGEST_RUN} s") from None
    return f"{done.stdout}\n{done.stderr}"


def _last_line(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"
