"""How long the MNIST CNN trains, and when its masks grow: tried on images that were held out.

    python docs/examples/deployment/choosing.py

The last 5,000 training images judge; the test images are not looked at.  Each way is a line of
docs/results/deployment-choices.jsonl, of which `make deployment` makes a table; what is there is
not done again.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch
from data import Data
from json_lines import append_line
from networks import NETWORKS
from page import choices
from training import fit_torch
from variants import POLICIES, between

_HELD_OUT = 5000
_TRIED = (
    ("dense", 2, None, True),
    ("90 %", 2, ("5%", "75%"), True),
    ("90 %", 2, ("0%", "50%"), True),
    ("90 %", 2, ("0%", "25%"), True),
    ("dense", 3, None, False),
    ("90 %", 3, ("0%", "50%"), False),
)
"""Variant, epochs after the first, the part in which masks grow, whether the rate falls."""


_LINES = Path(__file__).resolve().parents[2] / "results" / "deployment-choices.jsonl"


def main() -> None:
    """Train in PyTorch in each way from one dense network."""
    torch.set_num_threads(1)
    whole = NETWORKS["cnn"]
    found = whole.data()
    seen = dataclasses.replace(
        found, train_x=found.train_x[:-_HELD_OUT], train_y=found.train_y[:-_HELD_OUT]
    )
    network = dataclasses.replace(whole, data=lambda: seen)
    start = network.torch(0)
    fit_torch(start, network, network.epochs[0], None, 0, False)
    done = choices(_LINES)
    for variant, epochs, part, falls in _TRIED:
        way = {
            "variant": variant,
            "epochs": f"1 + {epochs}",
            "masks grow": " to ".join(part) if part else "",
            "rate": "falls to 0" if falls else "stays",
        }
        if any(way.items() <= line.items() for line in done):
            continue
        model = network.torch(0)
        model.load_state_dict(start.state_dict())
        policy = part and between(POLICIES[variant], *part)
        fit_torch(model, network, epochs, policy, 0, falls)
        line = way | {"right": _right(model, found), "of": _HELD_OUT}
        print(json.dumps(line), flush=True)
        append_line(_LINES, line)


def _right(model: torch.nn.Module, found: Data) -> int:
    network = NETWORKS["cnn"]
    samples = torch.from_numpy(network.inputs("torch", found.train_x[-_HELD_OUT:]))
    labels = torch.from_numpy(found.train_y[-_HELD_OUT:])
    with torch.no_grad():
        return int((model.eval()(samples).argmax(1) == labels).sum())


if __name__ == "__main__":
    main()
