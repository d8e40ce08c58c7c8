"""Memory and time of ``secateur prune`` beside ``cp``, on a checkpoint that is made for it.

    python docs/examples/prune_a_checkpoint.py [--gigabytes 8] [--dtype bfloat16] [--rounds 5]
        [--folder DIR] [--page docs/how-to/prune-a-checkpoint.md]

The checkpoint has the names and shapes of a language model, in four files.  All commands run
`rounds` times, in an order that is drawn anew for each round, since one finds memory as the one
before it left it, and each after the whole input was read once, so that all find it in memory as
far as it fits; the shortest time counts.  ``cp`` is done when all is in the page cache, ``sync``
and ``secateur prune`` when the disk has it.  It takes three times the room of the checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from math import prod
from pathlib import Path

import ml_dtypes
import numpy as np
from page_tables import show, table, versions

POLICIES = {
    "unstructured": {},
    "2:4": {"pattern": {"kind": "n_m", "keep": 2, "of": 4}},
    "global": {"distribution": "global"},
}
DTYPES = {"bfloat16": ("BF16", ml_dtypes.bfloat16), "float32": ("F32", np.float32)}
FILES, HIDDEN, INNER, WORDS = 4, 4096, 14336, 64000
AT_ONCE = 1 << 22


def shapes(size: float) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the weights of a model of at least some number of parameters."""
    yield "model.embed_tokens.weight", (WORDS, HIDDEN)
    left, layer = size - 2 * WORDS * HIDDEN, 0
    while left > 0:
        block = {
            **{f"self_attn.{name}_proj": (HIDDEN, HIDDEN) for name in "qo"},
            **{f"self_attn.{name}_proj": (HIDDEN // 4, HIDDEN) for name in "kv"},
            **{f"mlp.{name}_proj": (INNER, HIDDEN) for name in ("gate", "up")},
            "mlp.down_proj": (HIDDEN, INNER),
        }
        for name, shape in block.items():
            yield f"model.layers.{layer}.{name}.weight", shape
            left -= prod(shape)
        layer += 1
    yield "lm_head.weight", (WORDS, HIDDEN)


def make(folder: Path, gigabytes: float, dtype: str) -> int:
    """Write the checkpoint, a piece at a time; return the elements of its largest tensor."""
    code, kind = DTYPES[dtype]
    itemsize = np.dtype(kind).itemsize
    weights = list(shapes(gigabytes * 1e9 / itemsize))
    total = sum(prod(shape) for _, shape in weights) * itemsize
    files: list[list[tuple[str, tuple[int, int]]]] = [[] for _ in range(FILES)]
    written = 0
    for name, shape in weights:
        files[written * FILES // total].append((name, shape))
        written += prod(shape) * itemsize
    where, chance = {}, np.random.default_rng(0)
    for number, some in enumerate(files, 1):
        file_name = f"model-{number:05}-of-{FILES:05}.safetensors"
        header, end = {}, 0
        for name, shape in some:
            begin, end = end, end + prod(shape) * itemsize
            header[name] = {"dtype": code, "shape": shape, "data_offsets": [begin, end]}
            where[name] = file_name
        text = json.dumps(header).encode()
        with (folder / file_name).open("wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for start in range(0, end // itemsize, AT_ONCE):
                count = min(AT_ONCE, end // itemsize - start)
                values = chance.standard_normal(count, np.float32) / 50
                file.write(values.astype(kind).tobytes())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return max(prod(shape) for _, shape in weights)


def measure(command: list[str]) -> tuple[float, float, float]:
    """Return the seconds that a command takes, those of the processor, and its peak in MiB."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:  # noqa: S603 our own
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    took = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return took, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def read_once(folder: Path) -> None:
    """Read all files, so that each command finds the same in memory; write what waits."""
    for path in folder.iterdir():
        with path.open("rb", buffering=0) as file:
            while file.read(1 << 24):
                pass
    os.sync()


def run(folder: Path, gigabytes: float, dtype: str, rounds: int) -> str:
    """Return the table."""
    source, target = folder / "model", folder / "pruned"
    source.mkdir()
    largest = make(source, gigabytes, dtype)
    size = sum(path.stat().st_size for path in source.iterdir())
    copy_and_sync = ["sh", "-c", 'cp -r "$0" "$1" && sync "$1"/*', str(source), str(target)]
    commands = {
        "`cp -r`": ["cp", "-r", str(source), str(target)],
        "`cp -r`, then `sync`": copy_and_sync,
    }
    for name, more in POLICIES.items():
        policy = folder / f"{name.replace(':', '')}.json"
        policy.write_text(
            json.dumps({"schedule": {"kind": "one_shot", "final_sparsity": 0.5}, **more})
        )
        secateur = [sys.executable, "-m", "secateur", "prune", str(source), str(policy)]
        commands[f"`secateur prune`, {name}"] = [*secateur, "-o", str(target)]
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in commands}
    order = random.Random(0)  # noqa: S311 any order will do
    for _ in range(rounds):
        for name in order.sample(list(commands), len(commands)):
            read_once(source)
            found[name].append(measure(commands[name]))
            shutil.rmtree(target)
    best = {name: [min(each) for each in zip(*times, strict=True)] for name, times in found.items()}
    copy = best["`cp -r`"]
    rows = [
        (name, f"{wall:.1f}", f"{wall / copy[0]:.2f}", f"{processor:.1f}", f"{peak:.0f}")
        for name, (wall, processor, peak) in best.items()
    ]
    head = ("command", "seconds", "beside cp", "processor seconds", "resident MiB")
    about = (
        f"{size / 1e9:.2f} GB of {dtype} in {FILES} files, on {os.cpu_count()} cores; the mask of "
        f"the largest tensor takes {largest / 2**20:.0f} MiB. The shortest of {rounds} rounds."
    )
    return f"{about} {versions('numpy')}\n\n{table(head, rows)}"


def main() -> None:
    """Make the checkpoint, measure, and show the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=8.0)
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where there is room")
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        text = run(Path(folder), options.gigabytes, options.dtype, options.rounds)
    show(text, __file__, options.page)


if __name__ == "__main__":
    main()
