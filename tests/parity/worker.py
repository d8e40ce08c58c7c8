"""Prunes twins in one framework, in a process of its own: a Keras backend is per process.

Reads cases as lines of JSON, and answers each with its masks, packed, in hexadecimal.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import secateur
from tests.parity import flax_twins, twins

FILL = {
    "keras": twins.fill_keras,
    "torch": twins.fill_torch,
    "flax": flax_twins.fill_flax,
}


class Pruner:
    """Prunes twins in one framework; a twin is made once and filled anew for each case."""

    def __init__(self, framework: str) -> None:
        self._make: dict[str, Callable[[twins.Twin], Any]] = {
            "keras": twins.keras_twin,
            "torch": twins.torch_twin,
            "flax": flax_twins.flax_twin,
        }
        self._framework = framework
        self._models: dict[str, Any] = {}

    def masks(self, case: dict[str, Any]) -> dict[str, str]:
        """Return the masks of a case by weight name."""
        twin = twins.TWINS[case["twin"]]
        weights = twin.weights(case["seed"], case["levels"])
        model = self._filled(twin, weights)
        report = secateur.prune(model, case["policy"])
        return {name: np.packbits(mask).tobytes().hex() for name, mask in report.masks.items()}

    def _filled(self, twin: twins.Twin, weights: Any) -> Any:
        if self._framework == "numpy":
            return twin.reference(weights)
        if twin.name not in self._models:
            self._models[twin.name] = self._make[self._framework](twin)
        model = self._models[twin.name]
        FILL[self._framework](model, twin, weights)
        return model

    def outputs(self, case: dict[str, Any]) -> list[float]:
        """Return what the twin makes of a batch of inputs."""
        twin = twins.TWINS[case["twin"]]
        model = self._filled(twin, twin.weights(case["seed"], case["levels"]))
        x = twin.inputs(case["seed"])
        if self._framework == "torch":
            import torch

            return list(model(torch.tensor(x)).detach().numpy().ravel().tolist())
        import keras

        return list(keras.ops.convert_to_numpy(model(x)).ravel().tolist())


def main() -> None:
    """Answer cases until the input ends."""
    pruner = Pruner("keras")
    for line in sys.stdin:
        case = json.loads(line)
        answer = pruner.outputs(case) if case.get("outputs") else pruner.masks(case)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
