"""Train to a number of steps, saving after each; killed and started again by test_resume.

Arguments: the checkpoint's path, and the step before which to die (0 for never).
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

import torch
from torch import nn

import secateur

STEPS = 24
POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.9, "end_step": 20, "frequency": 4},
    "rules": [{"match": {}, "distribution": "global"}],
}


def main(path: Path, die_before: int) -> None:
    warnings.simplefilter("error")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 5))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    saved = torch.load(path, weights_only=True) if path.exists() else None
    if saved:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
    pruner = secateur.attach(model, POLICY, optimizer=optimizer)
    if saved:
        pruner.load_state_dict(saved["pruner"])
    while pruner.current_step < STEPS:
        number = pruner.current_step + 1
        if number == die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        generator = torch.Generator().manual_seed(number)
        data = torch.randn(16, 20, generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(data), torch.arange(16) % 5).backward()
        optimizer.step()
        state = {
            "model": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "pruner": pruner.state_dict(),
        }
        torch.save(state, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
