"""Prune one twin in every framework and print the mask bits that differ, weight by weight.

KERAS_BACKEND=jax python -m tests.parity.replay policy.toml --twin gru --seed 1 --levels 2
"""

from __future__ import annotations

import argparse

import numpy as np
import torch  # noqa: F401  # before Keras may load TensorFlow

import secateur
from tests.parity.twins import TWINS
from tests.parity.worker import Pruner


def main() -> None:
    """Print a line for each weight."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("policy")
    parser.add_argument("--twin", choices=TWINS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--levels", type=int, default=0, help="ties: multiples from -n to n")
    case = vars(parser.parse_args())
    case["policy"] = secateur.Policy.load(case["policy"]).to_dict()
    masks = {name: Pruner(name).masks(case) for name in ("numpy", "torch", "keras")}
    for weight, expected in masks["numpy"].items():
        bits = {name: np.frombuffer(bytes.fromhex(masks[name][weight]), np.uint8) for name in masks}
        reference = np.frombuffer(bytes.fromhex(expected), np.uint8)
        differing = {
            name: int(np.unpackbits(found ^ reference).sum()) for name, found in bits.items()
        }
        print(weight, differing)


if __name__ == "__main__":
    main()
