"""How long core takes to compute masks, against one pass ``abs(w) > t`` and against the peers.

    python tests/benchmarks/core_speed.py [--rounds 7] [--size 1.0] [--peers PYTHON]

Prints tables in Markdown.  All ways of a table take turns on the same arrays, so that a busy
machine slows all of them alike.  Milliseconds and the first ratio are of medians over the
rounds; then come the ratio of the fastest rounds and that of processor time, summed over the
threads, which other work on the machine disturbs least.  --size scales every array; --peers
names the Python of an environment with peers-requirements.txt.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from secateur.adapter import WeightSpec
from secateur.arrays import sizes
from secateur.arrays.chunks import cores, pieces
from secateur.components.criteria import Magnitude
from secateur.components.patterns import NM, Block, Pattern
from secateur.selection import select as selection
from secateur.selection.brackets.guess import Bracket, brackets
from secateur.selection.brackets.look import Budget, PassResult, look_at
from secateur.selection.elements import Elements
from secateur.selection.histogram import Span
from secateur.selection.select import select

Array = Any
Way = Callable[[], object]


class Time(NamedTuple):
    """Seconds by the clock, and of processor time over all threads."""

    wall: float
    processor: float


KEPT = 0.2
FLOOR = "one pass abs(w) > t"


def main() -> None:
    """Measure everything, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=float, default=1.0)
    parser.add_argument("--peers", metavar="PYTHON")
    options = parser.parse_args()
    for table in (unstructured, bounds, patterns, spread_over_tensors, growth, memory):
        table(options.rounds, options.size)
    if options.peers:
        against_peers(max(2, options.rounds // 2), options.size, options.peers)


def unstructured(rounds: int, scale: float) -> None:
    """Unstructured masks of one weight."""
    weight = normal(25e6 * scale)
    half, brain = weight.astype(np.float16), weight.astype(ml_dtypes.bfloat16)
    ternary = np.sign(np.round(weight))
    pruned = np.where(mask_of(weight), weight, np.float32(0))
    ways = {
        FLOOR: lambda: one_pass(weight),
        "float32": lambda: mask_of(weight),
        "float32, one thread": on_one_thread(lambda: mask_of(weight)),
        "float32, transposed view": lambda: mask_of(weight.T),
        "float16": lambda: mask_of(half),
        "bfloat16": lambda: mask_of(brain),
        "float32 of three values only": lambda: mask_of(ternary),
        "the same, transposed view": lambda: mask_of(ternary.T),
        "float32, pruned before": lambda: mask_of(pruned),
    }
    show(f"Unstructured, {weight.size / 1e6:.0f} M weights", turns(ways, rounds))


def bounds(rounds: int, scale: float) -> None:
    """Where the time of an unstructured mask goes, on one thread."""
    weight = normal(25e6 * scale)
    groups, keep = [elements(weight)], int(weight.size * KEPT)
    bracket = next(brackets(groups, keep))
    everything = Bracket(0, 1)  # nothing is inside, so nothing is collected
    mask = np.empty(weight.size, bool)
    spans = [Span(0, *piece) for piece in pieces(0, weight.size, sizes.SPAN)]

    def read() -> None:
        for piece in pieces(0, weight.size, sizes.CHUNK):
            groups[0].keys(slice(*piece))

    def compare(bracket: Bracket) -> list[PassResult]:
        budget = Budget(sizes.COLLECTED)
        return [look_at(groups[0], span, bracket, budget, mask) for span in spans]

    results = compare(bracket)
    drop = sum(result.inside for result in results) // 2
    ways = {
        FLOOR: lambda: one_pass(weight),
        "sample, and choose a bracket": lambda: next(brackets(groups, keep)),
        "clear the signs, look for NaN": read,
        "that, two comparisons, two counts": lambda: compare(everything),
        "that, and collect what is inside the bracket": lambda: compare(bracket),
        "find the k-th among it, correct the mask": lambda: selection._drop(
            groups, [mask], results, drop
        ),
    }
    show(
        f"Where the time goes, float32, one thread, {weight.size / 1e6:.0f} M", turns(ways, rounds)
    )


def patterns(rounds: int, scale: float) -> None:
    """Blocks and sets, on a matrix and on its transposed view."""
    weight = normal(16e6 * scale)
    ways: dict[str, Way] = {FLOOR: lambda: one_pass(weight)}
    for out, in_ in ((4, 1), (4, 4)):
        for pooling in ("avg", "max"):
            block = Block.model_validate({"out": out, "in": in_, "pooling": pooling})
            for name, array in (("", weight), (", transposed view", weight.T)):
                ways[f"block {out}x{in_} {pooling}{name}"] = bind(patterned, array, block)
    for name, array in (("", weight), (", transposed view", weight.T)):
        ways[f"2:4{name}"] = bind(patterned, array, NM(keep=2, of=4))
        ways[f"2:4{name}, one thread"] = on_one_thread(bind(patterned, array, NM(keep=2, of=4)))
    show(f"Patterns, float32, {weight.size / 1e6:.0f} M weights", turns(ways, rounds))


def spread_over_tensors(rounds: int, scale: float) -> None:
    """One global threshold over many weights, by the weight."""
    one = normal(25e6 * scale)
    share = np.random.default_rng(1).dirichlet(np.ones(60))
    many = [normal(250e6 * scale * part, seed) for seed, part in enumerate(share)]
    total = sum(weight.size for weight in many)
    ways = {
        "one weight": lambda: mask_of(one),
        "60 weights, global": lambda: select([elements(w) for w in many], int(total * KEPT)),
    }
    sizes = {"one weight": one.size, "60 weights, global": total}
    show(
        f"Global over 60 weights, {total / 1e6:.0f} M together",
        turns(ways, max(3, rounds // 2)),
        sizes,
    )


def growth(rounds: int, scale: float) -> None:
    """One float32 weight of 1 M to 1 G elements, by the weight."""
    sizes = {f"{int(m * scale)} M": m * 1e6 * scale for m in (10, 1, 100, 1000)}
    base = normal(10e6 * scale).reshape(-1)
    weights = {name: np.resize(base, int(size)) for name, size in sizes.items()}
    chance = np.random.default_rng(0)
    for weight in weights.values():  # a repeated sample would be tied everywhere
        for start in range(0, weight.size, base.size):
            weight[start : start + base.size] *= np.float32(1 + chance.random() / 1024)
    ways = {name: bind(mask_of, weight) for name, weight in weights.items()}
    times = turns(ways, max(3, rounds // 2))
    show("Growth, one float32 weight", times, {name: w.size for name, w in weights.items()})


def memory(rounds: int, scale: float) -> None:
    """The most memory besides the weight and the mask that is returned."""
    rows = []
    for millions in (25, 250):
        weight = normal(millions * 1e6 * scale)
        cases: dict[str, Way] = {
            "unstructured": bind(mask_of, weight),
            "unstructured, transposed view": bind(mask_of, weight.T),
            "all weights equal": bind(mask_of, np.broadcast_to(np.float32(1), weight.shape)),
            "block 4x1": bind(patterned, weight, Block(out=4)),
            "block 4x4 max": bind(
                patterned, weight, Block.model_validate({"out": 4, "in": 4, "pooling": "max"})
            ),
            "2:4": bind(patterned, weight, NM(keep=2, of=4)),
        }
        for name, way in cases.items():
            tracemalloc.start()
            way()
            extra = tracemalloc.get_traced_memory()[1] - weight.size
            tracemalloc.stop()
            rows.append((f"{name}, {weight.size / 1e6:.0f} M", f"{extra / 2**20:.0f} MiB"))
    heading("Memory besides the weight and its mask", ["work", "peak"])
    for row in rows:
        print("| " + " | ".join(row) + " |")


def against_peers(rounds: int, scale: float, python: str) -> None:
    """The same mask by the peers, each in its own environment, two threads each."""
    weight = normal(25e6 * scale)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weight.npy"
        np.save(path, weight)
        command = [python, "-W", "ignore", str(Path(__file__).with_name("peers.py"))]
        with subprocess.Popen(
            [*command, str(path), str(1 - KEPT), str(cores())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as peer:
            assert peer.stdin
            assert peer.stdout
            versions = peer.stdout.readline().strip()
            times: dict[str, list[Time]] = {"secateur": []}
            names = {
                "tfmot": "TFMOT, mask update",
                "l1_unstructured": "torch.nn.utils.prune.l1_unstructured",
                "kthvalue": "torch.kthvalue and a comparison",
            }
            for _ in range(rounds):
                times["secateur"].append(timed(bind(mask_of, weight)))
                for name, title in names.items():
                    peer.stdin.write(name + "\n")
                    peer.stdin.flush()
                    times.setdefault(title, []).append(
                        Time(*map(float, peer.stdout.readline().split()))
                    )
    show(f"Peers, float32, {weight.size / 1e6:.0f} M weights ({versions})", times)


def normal(size: float, seed: int = 0) -> Array:
    """A nearly square matrix of normal float32 numbers."""
    rows = max(4, int(size**0.5) // 8 * 8)
    shape = (rows, max(4, int(size) // rows // 8 * 8))
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def elements(weight: Array) -> Elements:
    """The elements of a weight, scored by magnitude."""
    spec = WeightSpec("w", "dense", "kernel", weight.shape, weight.dtype.name, "w")
    return Elements(spec, weight, Magnitude())


def mask_of(weight: Array) -> Array:
    """The unstructured mask at the sparsity of all tables."""
    return select([elements(weight)], int(weight.size * KEPT))[0]


def patterned(weight: Array, pattern: Pattern) -> Array:
    """The mask by a pattern."""
    scored = elements(weight)
    if isinstance(pattern, NM):
        return pattern.select(scored)
    groups = pattern.group(scored)
    return pattern.expand(select([groups], int(groups.size * KEPT))[0], scored.spec)


def one_pass(weight: Array) -> Array:
    """What no mask can be cheaper than: a comparison in pieces that fit the cache."""
    flat = weight.reshape(-1)
    mask = np.empty(flat.size, bool)
    for start in range(0, flat.size, 1 << 16):
        piece = slice(start, start + (1 << 16))
        np.greater(np.abs(flat[piece]), 1.2816, out=mask[piece])
    return mask


def bind(way: Callable[..., object], *arguments: object) -> Way:
    """The same without arguments."""
    return lambda: way(*arguments)


def on_one_thread(way: Way) -> Way:
    """The same on one thread."""

    def alone() -> object:
        with environment("SECATEUR_THREADS", "1"):
            return way()

    return alone


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Set a variable for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def timed(way: Way) -> Time:
    """How long it takes."""
    start = Time(time.perf_counter(), time.process_time())
    way()
    return Time(time.perf_counter() - start.wall, time.process_time() - start.processor)


def turns(ways: dict[str, Way], rounds: int) -> dict[str, list[Time]]:
    """The time of each way in each round; every round takes all of them in turn."""
    times: dict[str, list[Time]] = {name: [] for name in ways}
    for way in ways.values():
        way()
    for _ in range(rounds):
        for name, way in ways.items():
            times[name].append(timed(way))
    return times


def heading(title: str, columns: list[str]) -> None:
    """Begin a table."""
    print(f"\n### {title}\n\n| " + " | ".join(columns) + " |")
    print("| --- |" + " ---: |" * (len(columns) - 1))


def show(title: str, times: dict[str, list[Time]], sizes: dict[str, int] | None = None) -> None:
    """Print a table; ratios are to the first row, by the weight where sizes are given."""
    columns = ["work", "ms", "ratio", "of fastest", "of processor time"]
    heading(title, [*columns[:2], "ns per weight", *columns[2:]] if sizes else columns)
    figures = {
        name: summary(seconds, sizes[name] if sizes else 1) for name, seconds in times.items()
    }
    first = next(iter(figures.values()))
    for name, own in figures.items():
        row = [name, f"{own[0] * 1e3 * (sizes[name] if sizes else 1):.1f}"]
        if sizes:
            row.append(f"{own[0] * 1e9:.2f}")
        row += [f"{mine / other:.2f}" for mine, other in zip(own, first, strict=True)]
        print("| " + " | ".join(row) + " |", flush=True)


def summary(times: list[Time], size: int) -> tuple[float, float, float]:
    """The median, the fastest, and the least processor time, for one of `size`."""
    wall = [time.wall for time in times]
    found = statistics.median(wall), min(wall), min(time.processor for time in times)
    return tuple(seconds / size for seconds in found)  # type: ignore[return-value]


if __name__ == "__main__":
    main()
