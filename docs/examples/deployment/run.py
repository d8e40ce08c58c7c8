"""Sizes, accuracy, latency, cycles and LUTs of pruned networks, in every form of a file.

    make deployment          # in an environment with every converter; hours on two cores
    python docs/examples/deployment/run.py [--network cnn] [--framework keras] [--seeds 1]

Trains each network dense and pruned, in Keras and in PyTorch; writes it in each form, runs what
was written on all test samples, and writes docs/results/deployment.md.  Trained networks are kept
in .cache/deployment, and each figure is a line of docs/results/deployment.jsonl: what is there
is not done again.  MNIST and the spoken digits must be in .cache; it says how to get them.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mnist
import torch  # before TensorFlow
from json_lines import Line, append_line, read_lines
from measuring import forms_of, measure
from networks import NETWORKS
from page import write_page
from training import SUFFIXES, Run, train
from variants import DENSE, POLICIES

RESULTS = Path(__file__).resolve().parents[2] / "results"
FOLDER = mnist.CACHE / "deployment"
_SEVERAL_SEEDS = ("cnn", "mlp")


def main() -> None:
    """Do what is not done yet, and write the page."""
    arguments = _arguments()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * arguments.stop_after
    path = RESULTS / "deployment.jsonl"
    for run in _runs(arguments):
        for form in forms_of(run):
            lines = read_lines(path, _key)
            done = {_key(line) for line in lines if "right" not in line or "gained" in line}
            if (run.network, run.framework, run.variant, run.seed, form) in done:
                continue
            if time.monotonic() > end:
                break
            train(Run(run.network, run.framework, DENSE, run.seed), FOLDER)
            train(run, FOLDER)
            line = {**vars(run), "form": form, **measure(run, form, FOLDER)}
            print(json.dumps(line), flush=True)
            append_line(path, line)
    write_page(RESULTS / "deployment.md", read_lines(path, _key))


def _runs(arguments: argparse.Namespace) -> Iterator[Run]:
    """Yield every run: all networks with the first seed, then the other seeds."""
    names = [arguments.network] if arguments.network else list(NETWORKS)
    frameworks = [arguments.framework] if arguments.framework else list(SUFFIXES)
    for seed in range(arguments.seeds):
        for name in names:
            if seed == 0 or name in _SEVERAL_SEEDS:
                for variant in [arguments.variant] if arguments.variant else list(POLICIES):
                    for framework in frameworks:
                        yield Run(name, framework, variant, seed)


def _key(line: Line) -> tuple[object, ...]:
    return tuple(line[word] for word in ("network", "framework", "variant", "seed", "form"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--network", choices=list(NETWORKS))
    parser.add_argument("--framework", choices=list(SUFFIXES))
    parser.add_argument("--seeds", type=int, default=3, help="how many, of the MNIST networks")
    parser.add_argument("--variant", choices=list(POLICIES))
    parser.add_argument("--stop-after", type=float, default=1e9, metavar="MINUTES")
    return parser.parse_args()


if __name__ == "__main__":
    main()
