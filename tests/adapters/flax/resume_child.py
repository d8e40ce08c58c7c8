"""Train to a number of steps, saving after each; killed and started again by test_resume.

Arguments: the folder of the checkpoints, and the step before which to die (0 for never).
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import secateur

STEPS = 16
POLICY = {
    "schedule": {"kind": "linear", "final_sparsity": 0.9, "end_step": 12, "frequency": 3},
    "rules": [{"match": {}, "distribution": "global"}],
}


class Network(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.first = nnx.Linear(6, 10, rngs=rngs)
        self.cell = nnx.LSTMCell(10, 5, rngs=rngs)
        self.last = nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        carry = (jnp.zeros((len(x), 5)), jnp.zeros((len(x), 5)))
        return self.last(self.cell(carry, jnp.tanh(self.first(x)))[1])


@nnx.jit
def train_step(model: Network, optimizer: nnx.Optimizer, x: jax.Array) -> None:
    gradients = nnx.grad(lambda model: jnp.square(model(x) - 1).mean())(model)
    optimizer.update(model, gradients)


def save(path: Path, model: Network, optimizer: nnx.Optimizer, pruner: secateur.Pruner) -> None:
    """Write one checkpoint of everything; it is whole, or it is not there."""
    leaves = jax.tree.leaves(nnx.state((model, optimizer)))
    state = {f"pruner/{name}": value for name, value in pruner.state_dict().items()}
    with path.with_suffix(".new").open("wb") as file:
        np.savez(file, *map(np.asarray, leaves), **state)
    path.with_suffix(".new").replace(path)


def load(path: Path, model: Network, optimizer: nnx.Optimizer, pruner: secateur.Pruner) -> None:
    state = nnx.state((model, optimizer))
    with np.load(path) as saved:
        leaves = [jnp.asarray(saved[f"arr_{at}"]) for at in range(len(jax.tree.leaves(state)))]
        own = {name.removeprefix("pruner/"): saved[name] for name in saved if "/" in name}
    nnx.update((model, optimizer), jax.tree.unflatten(jax.tree.structure(state), leaves))
    pruner.load_state_dict(own)


def main(path: Path, die_before: int) -> None:
    model = Network()
    optimizer = nnx.Optimizer(model, optax.adam(0.05), wrt=nnx.Param)
    pruner = secateur.attach(model, POLICY)
    if path.exists():
        load(path, model, optimizer, pruner)
    while pruner.current_step < STEPS:
        number = pruner.current_step + 1
        if number == die_before:
            os.kill(os.getpid(), signal.SIGKILL)
        chance = np.random.default_rng(number)
        train_step(model, optimizer, jnp.asarray(chance.normal(size=(8, 6)), jnp.float32))
        pruner.step()
        save(path, model, optimizer, pruner)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
