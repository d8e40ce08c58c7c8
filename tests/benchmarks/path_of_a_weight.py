"""How far one weight travels: the files entered, and the calls that cross files, in one attach.

``python tests/benchmarks/path_of_a_weight.py [numpy|torch|keras]`` counts them from `attach` to the
applied mask, once everything is loaded.  It uses the public API alone, so it runs on any version.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

import secateur

POLICY = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}


def numpy_model() -> Any:
    return {"fc": np.arange(1.0, 13.0).reshape(3, 4)}


def torch_model() -> Any:
    import torch

    return torch.nn.Sequential(torch.nn.Linear(4, 3))


def keras_model() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])


MODELS: dict[str, Callable[[], Any]] = {
    "numpy": numpy_model,
    "torch": torch_model,
    "keras": keras_model,
}


def travel(model: Any) -> tuple[int, int, int]:
    """Return the files entered, the calls that cross files, and those back into a file seen."""
    seen: list[str] = []
    crossing = back = 0

    def trace(frame: FrameType, event: str, _: Any) -> None:
        nonlocal crossing, back
        if event != "call" or frame.f_back is None:
            return
        here, before = frame.f_code.co_filename, frame.f_back.f_code.co_filename
        if f"{os.sep}secateur" not in here:
            return
        if here != before:
            crossing += 1
            back += here in seen
        if here not in seen:
            seen.append(here)

    policy = secateur.Policy.parse(POLICY)
    sys.setprofile(trace)
    try:
        pruner = secateur.attach(model, policy)
    finally:
        sys.setprofile(None)
    pruner.detach()
    return len(seen), crossing, back


def main() -> None:
    for name in sys.argv[1:] or MODELS:
        travel(MODELS[name]())  # loads what is loaded on first use
        files, crossing, back = travel(MODELS[name]())
        print(f"{name}: {files} files, {crossing} calls that cross files, {back} of them back")


if __name__ == "__main__":
    main()
