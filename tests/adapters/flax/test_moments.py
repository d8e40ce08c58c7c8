"""What optax keeps of weights that come back is cleared, and nothing else is."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import secateur
from secateur_flax.moments import clear_moments

SCHEDULE = {"kind": "ac_dc", "final_sparsity": 0.5, "begin_step": 1, "end_step": 9, "frequency": 2}


class Network(nnx.Module):
    """A layer that is used twice, a cell of stacked parameters, and names that end alike."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.first = self.again = nnx.Linear(4, 4, rngs=rngs)
        self.cell = nnx.LSTMCell(4, 4, rngs=rngs)
        self.deep = nnx.List([nnx.Sequential(nnx.Linear(4, 4, rngs=rngs))])

    def __call__(self, x):
        state = (jnp.zeros((len(x), 4)), jnp.zeros((len(x), 4)))
        return self.deep[0](self.cell(state, self.again(self.first(x)))[1])


@pytest.mark.parametrize("of_its_own", [False, True], ids=["nnx.Optimizer", "optax"])
def test_moments_of_what_comes_back_are_cleared(of_its_own):
    model = Network()
    rule = optax.chain(optax.clip(1.0), optax.adam(0.01))
    optimizer = nnx.Optimizer(model, rule, wrt=nnx.Param)
    state = rule.init(nnx.state(model, nnx.Param))
    pruner = secateur.attach(model, {"schedule": SCHEDULE})
    for _ in range(3):
        gradients = nnx.grad(lambda model: jnp.square(model(jnp.ones((2, 4)))).sum())(model)
        if of_its_own:
            updates, state = rule.update(gradients, state)
            nnx.update(model, optax.apply_updates(nnx.state(model, nnx.Param), updates))
        else:
            optimizer.update(model, gradients)
        pruner.step()
        state = clear_moments(state, model, pruner.revived)
        optimizer = clear_moments(optimizer, model, pruner.revived)
    back = dict(pruner.revived)
    assert {name: int(mask.sum()) for name, mask in back.items()} == {
        name: mask.size // 2 for name, mask in back.items()
    }
    adam = (state if of_its_own else optimizer.opt_state)[1][0]
    for moment in (adam.mu, adam.nu):
        for name, mask in back.items():
            if "cell" in name:
                gates = "ifgo"
                stem = "h" if "recurrent" in name else "i"
                parts = [f"{stem}{gate}" if stem + gate != "if" else "if_" for gate in gates]
                found = [moment["cell"][part]["kernel"][...].T for part in parts]
            elif "deep" in name:
                found = moment["deep"][0]["layers"][0]["kernel"][...].T
            else:
                found = moment["again"]["kernel"][...].T
            found = np.asarray(found)
            assert not found[mask].any(), name
            assert "recurrent" in name or found[~mask].any(), name  # of a state of zeros
