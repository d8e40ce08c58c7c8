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


def _no_optimizer(model: Any) -> None:
    """Return none: NumPy and Flax take gradients by ``pruner.step(gradients=...)``."""


def _keras_optimizer(model: Any) -> Any:
    import keras

    optimizer = keras.optimizers.SGD(0.0)
    optimizer.build(model.trainable_variables)
    return optimizer


def _torch_optimizer(model: Any) -> Any:
    import torch

    return torch.optim.SGD(model.parameters(), 0.0)


def _update_numpy(model: Any, gradients: Any, optimizer: None, pruner: secateur.Pruner) -> None:
    pruner.step(gradients={name: array for name, (array, _) in gradients.items()})


def _update_keras(model: Any, gradients: Any, optimizer: Any, pruner: secateur.Pruner) -> None:
    values = [variable.value + 0 for variable in gradients.trainable_variables]
    optimizer.apply(values, model.trainable_variables)
    pruner.step()


def _update_torch(model: Any, gradients: Any, optimizer: Any, pruner: secateur.Pruner) -> None:
    for parameter, gradient in zip(model.parameters(), gradients.parameters(), strict=True):
        parameter.grad = gradient.detach().clone()
    optimizer.step()


def _update_flax(model: Any, gradients: Any, optimizer: None, pruner: secateur.Pruner) -> None:
    from flax import nnx

    pruner.step(gradients=nnx.state(gradients, nnx.Param))


OPTIMIZER = {
    "numpy": _no_optimizer,
    "keras": _keras_optimizer,
    "torch": _torch_optimizer,
    "flax": _no_optimizer,
}
"""Makes an optimizer whose updates change no weight, where `secateur.attach` takes one."""
UPDATE = {
    "numpy": _update_numpy,
    "keras": _update_keras,
    "torch": _update_torch,
    "flax": _update_flax,
}
"""Makes an update by gradients that a second model holds in the place of weights."""


class Pruner:
    """Prunes twins in one framework; a twin is made once and filled again for each case."""

    def __init__(self, framework: str) -> None:
        self._make: dict[str, Callable[[twins.Twin], Any]] = {
            "keras": twins.keras_twin,
            "torch": twins.torch_twin,
            "flax": flax_twins.flax_twin,
        }
        self._framework = framework
        self._models: dict[tuple[str, str], Any] = {}

    def masks(self, case: dict[str, Any]) -> dict[str, str]:
        """Return the masks of a case by weight name."""
        twin = twins.TWINS[case["twin"]]
        weights = twin.weights(case["seed"], case["levels"])
        model = self._filled(twin, weights)
        report = secateur.prune(model, case["policy"])
        return {name: np.packbits(mask).tobytes().hex() for name, mask in report.masks.items()}

    def masks_of_training(self, case: dict[str, Any]) -> dict[str, str]:
        """Return the masks after updates by given gradients, which change no weight."""
        twin, seed = twins.TWINS[case["twin"]], case["seed"]
        model = self._filled(twin, twin.weights(seed, case["levels"]))
        optimizer = OPTIMIZER[self._framework](model)
        pruner = secateur.attach(model, case["policy"], optimizer=optimizer)
        for number in range(1, 1 + case["updates"]):
            gradients = self._filled(twin, twin.weights(seed + number, case["levels"]), "gradients")
            UPDATE[self._framework](model, gradients, optimizer, pruner)
        assert pruner.current_step == case["updates"]
        masks = {name: np.packbits(mask).tobytes().hex() for name, mask in pruner.masks.items()}
        pruner.detach()
        return masks

    def _filled(self, twin: twins.Twin, weights: Any, what: str = "weights") -> Any:
        if self._framework == "numpy":
            return twin.reference(weights)
        if (twin.name, what) not in self._models:
            self._models[twin.name, what] = self._make[self._framework](twin)
        model = self._models[twin.name, what]
        FILL[self._framework](model, twin, weights)
        return model

    def answer(self, case: dict[str, Any]) -> Any:
        """Return what a case asks for."""
        if case.get("outputs"):
            return self.outputs(case)
        return self.masks_of_training(case) if case.get("updates") else self.masks(case)

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
        print(json.dumps(pruner.answer(case)), flush=True)


if __name__ == "__main__":
    main()
