"""What is done to a model after attach is noted, and never a bare error."""

from __future__ import annotations

import gc
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import secateur
from secateur.errors import ModelError
from secateur_flax.binding import bind

HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5, "frequency": 1}}


class Network(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.body = nnx.Linear(4, 6, rngs=rngs)
        self.head = nnx.Linear(6, 2, rngs=rngs)
        self.twin = nnx.Linear(6, 2, rngs=rngs)
        self.twin.kernel = self.head.kernel
        self.cell = nnx.LSTMCell(6, 4, rngs=rngs)

    def __call__(self, x):
        return self.head(self.body(x))


@pytest.fixture
def bound():
    """Return a network, and its binding under masks that prune all but the first column."""
    model = Network()
    binding = bind(model)
    masks = {}
    for weight in binding.weights:
        masks[weight.spec.name] = np.zeros(weight.spec.shape, bool)
        masks[weight.spec.name][..., 0] = True
    binding.apply(masks)
    assert binding.model_changes() == {}
    assert binding.nonzero_pruned() == {}
    return model, binding


def replace_layer(model):
    model.head = nnx.Linear(6, 2, rngs=nnx.Rngs(1))


def remove_layer(model):
    del model.head


def reshape_parameter(model):
    model.head.kernel = nnx.Param(jnp.ones((6, 5)))


def reshape_to_one_row(model):
    model.head.kernel.set_value(jnp.ones((1, 2)))


def remove_parameter(model):
    del model.head.kernel


def put_an_array(model):
    model.head.kernel = jnp.ones((6, 2))


def reshape_a_part(model):
    model.cell.ig.kernel = nnx.Param(jnp.ones((7, 4)))


CHANGES = {
    replace_layer: ("head:kernel", "layer was replaced"),
    remove_layer: ("head:kernel", "gone from the model"),
    reshape_parameter: ("head:kernel", r"has shape \(6, 5\), and had \(6, 2\)"),
    reshape_to_one_row: ("head:kernel", r"has shape \(1, 2\)"),
    remove_parameter: ("head:kernel", "kernel is gone"),
    put_an_array: ("head:kernel", "no nnx.Variable"),
    reshape_a_part: ("cell:kernel", r"ig.kernel has shape \(7, 4\)"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_a_note_and_the_other_weights_stay_masked(change, bound):
    model, binding = bound
    name, words = CHANGES[change]
    change(model)
    model.body.kernel.set_value(jnp.ones((4, 6)))
    binding.enforce()
    notes = binding.model_changes()
    assert name in notes
    assert re.search(words, notes[name])
    assert "attach again" in notes[name]
    assert np.count_nonzero(model.body.kernel.get_value()) == 6
    assert name not in binding.nonzero_pruned()
    binding.release()


def test_a_changed_weight_is_an_error_by_name_when_its_masks_are_due_and_detach_lets_go():
    model = Network()
    pruner = secateur.attach(model, HALF)
    reshape_parameter(model)
    with pytest.raises(ModelError, match=r"head:kernel: kernel has shape \(6, 5\).*detach"):
        pruner.step()
    pruner.report()
    with pytest.warns((secateur.ScheduleWarning, secateur.StateWarning)):
        pruner.detach()
    again = secateur.attach(model, HALF)
    assert np.count_nonzero(model.head.kernel.get_value()) == 15
    again.detach()


def test_untied_tied_and_added_weights_are_noted(bound):
    model, binding = bound
    model.twin.kernel = nnx.Param(jnp.ones((6, 2)))
    model.cell.hi.kernel = model.cell.hf.kernel
    model.more = nnx.Linear(3, 3, rngs=nnx.Rngs(0))
    notes = binding.model_changes()
    assert set(notes) == {"twin:kernel", "more:kernel"}
    assert "no longer tied to head:kernel" in notes["twin:kernel"]
    assert "added after" in notes["more:kernel"]
    other, binding = Network(), None
    binding = bind(other)
    other.body, other.head = other.head, other.head
    assert "layer was replaced" in binding.model_changes()["body:kernel"]


def test_values_put_in_place_are_counted(bound):
    model, binding = bound
    model.body.kernel.set_value(jnp.full((4, 6), jnp.nan))
    model.cell.ig.kernel.set_value(jnp.ones((6, 4)))
    assert binding.nonzero_pruned() == {"body:kernel": 18, "cell:kernel": 20}
    binding.enforce()
    assert binding.nonzero_pruned() == {}


def test_a_weight_moved_to_another_device_or_dtype_stays_masked(bound):
    model, binding = bound
    device = jax.devices()[0]
    model.body.kernel.set_value(jax.device_put(jnp.ones((4, 6)), device))
    model.head.kernel.set_value(jnp.ones((6, 2), jnp.bfloat16))
    binding.enforce()
    assert np.count_nonzero(model.body.kernel.get_value()) == 6
    assert model.head.kernel.get_value().dtype == jnp.bfloat16
    assert binding.nonzero_pruned() == {} == binding.model_changes()


def test_parameters_as_arrays_of_numpy_are_masked_too():
    model = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    model.kernel = nnx.Param(np.ones((4, 2), np.float32))
    assert secateur.prune(model, HALF).sparsity == 0.5
    assert np.count_nonzero(model.kernel.get_value()) == 4


def test_a_variable_has_one_identity_for_as_long_as_a_binding_holds_it():
    model = Network()
    first, second = (
        [weight.identity() for weight in binding.weights] for binding in (bind(model), bind(model))
    )
    assert all(one is other for one, other in zip(first, second, strict=True))
    part = bind(model.twin).weights[0].identity()
    assert part is first[1]
    assert len({id(identity) for identity in first}) == len(first)
    del first, second, part
    gc.collect()


def test_everything_is_counted_once():
    model = Network()
    model.norm = nnx.BatchNorm(6, rngs=nnx.Rngs(0))
    model.lora = nnx.LoRALinear(4, 4, lora_rank=2, rngs=nnx.Rngs(0))
    model.again = model.lora
    model.own = nnx.List([nnx.Param(jnp.ones((3, 3)))])
    binding = bind(model)
    sizes = {skipped.name: skipped.size for skipped in binding.skipped}
    assert sizes == {"norm": 12, "lora": 16 + 4 + 16, "again": 0, "own": 9}
    leaves = jax.tree.leaves(nnx.state(model, nnx.Param))
    assert binding.parameters == sum(leaf.size for leaf in leaves)
    pruned = sum(weight.spec.size for weight in binding.weights)
    assert pruned + sum(sizes.values()) <= binding.parameters


def test_a_variable_that_the_optimizer_leaves_alone_is_marked():
    class Frozen(nnx.Variable):
        pass

    model = nnx.Linear(4, 2, rngs=nnx.Rngs(0))
    model.kernel = Frozen(model.kernel.get_value())
    (weight,) = bind(model).weights
    assert not weight.spec.trainable
    assert bind(model).parameters == 8 + 2
    assert bind(Network()).weights[0].spec.trainable


def test_a_model_of_shapes_is_refused_with_what_to_do():
    with pytest.raises(ModelError, match=r"body:kernel has a shape and no values.*build"):
        secateur.plan(nnx.eval_shape(Network), HALF)


def test_a_plan_inside_a_compiled_function_is_refused_with_what_to_do():
    @nnx.jit
    def step(model):
        secateur.plan(model, HALF)

    with pytest.raises(ModelError, match="after the jitted train step"):
        step(Network())


class Standardized(nnx.Linear):
    def weight(self):
        return self.kernel - self.kernel.mean(0)

    def __call__(self, x):
        return x @ self.weight()


class Doubled(nnx.Embed):
    def __call__(self, rows):
        return 2 * (lambda table: table[rows])(self.embedding.get_value())


class Noisy(nnx.Linear):
    def __call__(self, x):
        return super().__call__(x + 1)


class Logits(nnx.Embed):
    def logits(self, x):
        return x @ self.embedding.T


@pytest.mark.parametrize("cls", [Standardized, Doubled])
def test_a_class_that_computes_its_weight_is_left_dense_with_the_reason(cls):
    layer = cls(4, 6, rngs=nnx.Rngs(0))
    (skipped,) = bind(layer).skipped
    assert "overrides __call__() and touches" in skipped.reason
    assert skipped.size == bind(layer).parameters > 0


@pytest.mark.parametrize("cls", [Noisy, Logits])
def test_a_class_that_leaves_the_weight_to_its_base_is_pruned(cls):
    assert len(bind(cls(4, 6, rngs=nnx.Rngs(0))).weights) == 1
