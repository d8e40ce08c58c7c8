"""Gradients of Flax models reach criteria by ``pruner.step(gradients=...)``."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import secateur

SCHEDULE = {"kind": "constant", "final_sparsity": 0.5, "begin_step": 2, "end_step": 2}
POLICY = {"criterion": "movement", "schedule": SCHEDULE}


class Network(nnx.Module):
    """A cell whose kernel is stacked from four parameters, and a layer that is used twice."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = self.again = nnx.Linear(4, 4, rngs=rngs)
        self.cell = nnx.LSTMCell(4, 3, rngs=rngs)

    def __call__(self, x):
        state = (jnp.zeros((len(x), 3)), jnp.zeros((len(x), 3)))
        return self.cell(state, self.again(self.first(x)))[1]


@nnx.jit
def gradients_of(model, x):
    return nnx.grad(lambda model: jnp.square(model(x)).sum())(model)


def test_a_state_of_gradients_is_read_in_canonical_layout():
    model = Network()
    pruner = secateur.attach(model, POLICY)
    weights = {weight.spec.name: weight for weight in pruner._binding.weights}
    gradients = gradients_of(model, jnp.ones((2, 4)))
    for update in (1, 2):
        pruner.step(gradients=gradients)
        if update == 1:
            kernel = np.asarray(gradients["again"]["kernel"]).T
            cell = np.stack(
                [np.asarray(gradients["cell"][g]["kernel"]).T for g in ("ii", "if_", "ig", "io")]
            )
            state = pruner.state_dict()
            for name, gradient in ((next(iter(weights)), kernel), ("cell:kernel", cell)):
                wanted = -weights[name].read().astype(np.float64) * gradient
                found = state[f"memory/sum/{name}"].reshape(gradient.shape)
                np.testing.assert_array_equal(found, wanted.astype(np.float32), name)
    assert pruner.report().sparsity == 0.5
    pruner.detach()


def test_what_is_missing_is_said_at_the_first_step():
    model = Network()
    pruner = secateur.attach(model, POLICY)
    with pytest.raises(secateur.ModelError, match=r"pass pruner.step\(gradients="):
        pruner.step()
    some = nnx.state(model.first, nnx.Param)
    with pytest.raises(secateur.ModelError, match="has none for"):
        pruner.step(gradients=some)
    assert pruner.current_step == 0
