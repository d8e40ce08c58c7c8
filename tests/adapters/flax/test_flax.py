"""What is particular to Flax NNX, beyond the conformance suite."""

from __future__ import annotations

import types

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import secateur
from secateur.adapter import LayerWeight
from secateur.errors import ModelError
from secateur.layout import DENSE_IN_OUT
from secateur_flax.binding import bind

GROWING = {
    "schedule": {
        "kind": "linear",
        "final_sparsity": 0.8,
        "begin_step": 0,
        "end_step": 4,
        "frequency": 2,
    }
}


class Network(nnx.Module):
    def __init__(self, rngs):
        self.embed = nnx.Embed(11, 6, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(6, 6, rngs=rngs) for _ in range(2)])
        self.norm = nnx.LayerNorm(6, rngs=rngs)
        self.cells = nnx.Bidirectional(
            nnx.RNN(nnx.LSTMCell(6, 4, rngs=rngs), rngs=rngs),
            nnx.RNN(nnx.GRUCell(6, 4, rngs=rngs), rngs=rngs),
            rngs=rngs,
        )
        self.tied = self.embed
        self.head = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, rows):
        x = self.embed(rows)
        for block in self.blocks:
            x = nnx.relu(block(x))
        return self.head(self.cells(self.norm(x)))


@nnx.jit
def train_step(model, optimizer, rows):
    loss, grads = nnx.value_and_grad(lambda model: jnp.square(model(rows) - 1).mean())(model)
    optimizer.update(model, grads)
    return loss


def names(model):
    return [weight.spec.name for weight in bind(model).weights]


def assert_masked(model, pruner):
    for weight in bind(model).weights:
        value = weight.read()
        mask = pruner.masks[weight.spec.name]
        assert not value.view(f"u{value.itemsize}")[~mask].any(), weight.spec.name


def test_names_are_paths_and_shared_layers_are_found_once():
    found = {weight.spec.name: weight.spec for weight in bind(Network(nnx.Rngs(0))).weights}
    assert list(found) == [
        "embed:embedding",
        "blocks.0:kernel",
        "blocks.1:kernel",
        "cells.forward_rnn.cell:kernel",
        "cells.forward_rnn.cell:recurrent",
        "cells.backward_rnn.cell:kernel",
        "cells.backward_rnn.cell:recurrent",
        "head:kernel",
    ]
    assert found["embed:embedding"].aliases == ("tied:embedding",)
    assert found["cells.forward_rnn.cell:kernel"].shape == (4, 4, 6)


def test_a_tied_parameter_is_found_once():
    class Tied(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(4, 4, rngs=rngs)
            self.second = nnx.Linear(4, 4, rngs=rngs)
            self.second.kernel = self.first.kernel

    (weight,) = bind(Tied(nnx.Rngs(0))).weights
    assert weight.spec.aliases == ("second:kernel",)


@pytest.mark.parametrize("optimizer", [optax.adam(0.1), optax.sgd(0.1, momentum=0.9)])
def test_pruned_weights_stay_zero_under_momentum_in_a_compiled_step(optimizer):
    model = Network(nnx.Rngs(0))
    state = nnx.Optimizer(model, optimizer, wrt=nnx.Param)
    pruner = secateur.attach(model, GROWING)
    rows = jnp.arange(10).reshape(2, 5)
    for step in range(1, 6):
        train_step(model, state, rows)
        pruner.step()
        assert pruner.current_step == step
        assert_masked(model, pruner)
    assert pruner.report().sparsity == pytest.approx(0.8, abs=0.01)


def test_a_step_is_compiled_once_whatever_the_masks_do():
    model = Network(nnx.Rngs(0))
    traces = []

    @nnx.jit
    def step(model, rows):
        traces.append(rows.shape)
        grads = nnx.grad(lambda model: jnp.square(model(rows) - 1).mean())(model)
        params = nnx.state(model, nnx.Param)
        nnx.update(model, jax.tree.map(lambda p, g: p - 0.1 * g, params, grads))

    rows = jnp.arange(10).reshape(2, 5)
    step(model, rows)
    pruner = secateur.attach(model, GROWING)
    for _ in range(5):
        step(model, rows)
        pruner.step()
        assert_masked(model, pruner)
    assert len(traces) == 1


def test_a_call_inside_a_compiled_step_is_refused_and_counts_nothing():
    model = Network(nnx.Rngs(0))
    pruner = secateur.attach(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})

    @nnx.jit
    def step(model):
        pruner.step()

    with pytest.raises(ModelError, match="after the jitted train step"):
        step(model)
    assert pruner.current_step == 0


def test_optimizer_is_refused_with_what_to_do():
    model = Network(nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    with pytest.raises(ModelError, match=r"call pruner\.step\(\) after each update"):
        secateur.attach(model, GROWING, optimizer=optimizer)


def test_a_model_of_linen_is_refused_with_what_to_do():
    with pytest.raises(ModelError, match=r"build the model with flax\.nnx"):
        secateur.plan(flax.linen.Dense(3), GROWING)


def test_what_is_left_dense_says_why():
    class Own(nnx.Module):
        def __init__(self, rngs):
            self.gain = nnx.Param(jnp.ones((4, 4)))
            self.equation = nnx.Einsum("...i,...io->...o", (2, 4, 4), rngs=rngs)
            self.lora = nnx.LoRALinear(4, 4, lora_rank=2, rngs=rngs)
            self.norm = nnx.RMSNorm(4, rngs=rngs)
            self.linear = nnx.Linear(4, 4, rngs=rngs)

    plan = secateur.plan(Own(nnx.Rngs(0)), GROWING)
    assert [planned.spec.name for planned in plan.weights] == ["linear:kernel"]
    reasons = {skipped.name: skipped.reason for skipped in plan.skipped}
    assert set(reasons) == {"Own", "equation", "lora", "norm"}
    assert "it holds gain" in reasons["Own"]
    assert "without a letter" in reasons["equation"]
    assert "merge the two first" in reasons["lora"]
    assert "never pruned" in reasons["norm"]


@pytest.mark.parametrize(
    ("make", "canonical"),
    [
        (lambda rngs: nnx.LinearGeneral((3, 4), (5, 2), axis=(-2, -1), rngs=rngs), (10, 12)),
        (lambda rngs: nnx.LinearGeneral(4, 5, batch_axis={0: 3}, rngs=rngs), (15, 4)),
        (lambda rngs: nnx.Einsum("bti,ihd->bthd", (4, 2, 3), rngs=rngs), (6, 4)),
        (lambda rngs: nnx.Einsum("bthd,ohd->bto", (4, 2, 3), rngs=rngs), (4, 6)),
    ],
)
def test_contracted_axes_make_in_and_the_others_out(make, canonical):
    layer = make(nnx.Rngs(0))
    (weight,) = bind(layer).weights
    assert weight.spec.shape == canonical
    kept = np.zeros(canonical, bool)
    kept[0] = True
    bind(layer).apply({weight.spec.name: kept})
    assert np.count_nonzero(layer.kernel.get_value()) == canonical[1]
    np.testing.assert_array_equal(weight.read() != 0, kept)


def test_a_plugin_teaches_a_layer():
    class Scaled(nnx.Module):
        def __init__(self):
            self.table = nnx.Param(jnp.arange(1.0, 13.0).reshape(3, 4))

    def secateur_layer_weights(adapter, layer):
        if adapter == "flax" and isinstance(layer, Scaled):
            return [LayerWeight("table", "dense", layout=DENSE_IN_OUT)]
        return None

    plugin = types.SimpleNamespace(secateur_layer_weights=secateur.hookimpl(secateur_layer_weights))
    secateur.register(plugin, "scaled")
    try:
        report = secateur.prune(
            model := Scaled(), {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        )
    finally:
        secateur.unregister("scaled")
    assert report.masks["Scaled:kernel"].shape == (4, 3)
    assert model.table.get_value().reshape(-1).tolist() == [0] * 6 + [7, 8, 9, 10, 11, 12]


def test_parameters_that_are_replaced_are_masked_still():
    model = Network(nnx.Rngs(0))
    pruner = secateur.attach(model, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    model.head.kernel = nnx.Param(-jnp.ones((8, 3)))
    nnx.update(model.blocks[0], jax.tree.map(jnp.ones_like, nnx.state(model.blocks[0])))
    pruner.step()
    assert_masked(model, pruner)


def test_a_model_split_and_merged_keeps_its_zeros_and_is_free():
    model = Network(nnx.Rngs(0))
    secateur.prune(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
    graph, state = nnx.split(model)
    merged = nnx.merge(graph, state)
    assert names(merged) == names(model)
    for one, other in zip(bind(model).weights, bind(merged).weights, strict=True):
        np.testing.assert_array_equal(one.read(), other.read())


class PassingBy(nnx.Module):
    """Two layers; how they are used is up to a class below."""

    def __init__(self):
        rngs = nnx.Rngs(0)
        self.full = nnx.Linear(3, 3, rngs=rngs)
        self.layers = nnx.List([nnx.Linear(3, 3, rngs=rngs)])


class MergedBelow(PassingBy):
    def __call__(self, x):
        for layer in self.layers:
            x = x @ (layer.kernel - 1)
        return x @ (self.full.kernel + 1)


class Penalized(PassingBy):
    def __call__(self, x):
        self.penalty = (self.full.kernel[...] ** 2).sum()
        for layer in self.layers:
            x = layer(x)
        return self.full(x)


@pytest.mark.parametrize(("cls", "pruned"), [(MergedBelow, 0), (Penalized, 2)])
def test_a_layer_that_is_passed_by_for_other_values_is_left_dense(cls, pruned):
    model = nnx.Sequential(nnx.Linear(3, 3, rngs=nnx.Rngs(0)), cls())
    plan = secateur.plan(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
    assert len(plan.weights) == 1 + pruned
    assert sum("takes its kernel" in each.reason for each in plan.skipped) == 2 - pruned
