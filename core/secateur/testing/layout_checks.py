"""Checks that an adapter finds every weight, and reads and masks it in canonical layout."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from secateur import api
from secateur.adapter import Binding, StateTensor
from secateur.errors import ModelError
from secateur.kinds import kind_names, role_names
from secateur.layout import Array
from secateur.testing.layers import Layer, example, network
from secateur.testing.suite import Suite, assert_same_bits, bits


class LayoutChecks(Suite):
    """What `bind`, `read` and `apply` must do, layer by layer."""

    def test_a_layer_computes_what_its_canonical_weights_say(self, layer: str) -> None:
        asked = example(layer)
        self._assert_computes(self.make_model([asked]), asked)

    def test_read_shows_what_was_put_in(self, layer: str) -> None:
        asked = example(layer)
        shown = self._by_role(asked, self.read(model := self.make_model([asked])))
        assert_same_bits(shown, dict(asked.weights), layer)
        for weight in self.adapter.bind(model).weights:
            spec, value = weight.spec, weight.read()
            assert spec.kind == asked.kind, f"{spec.name} is {spec.kind}, wanted {asked.kind}"
            assert spec.shape == value.shape, f"{spec.name}: {spec.shape} and {value.shape}"
            assert spec.dtype == value.dtype.name, f"{spec.name}: {spec.dtype}, {value.dtype}"

    def test_read_keeps_the_dtype(self, dtype: str) -> None:
        asked = example("dense", dtype=dtype)
        shown = self._by_role(asked, self.read(self.make_model([asked])))
        assert_same_bits(shown, dict(asked.weights), dtype)

    def test_apply_zeroes_what_the_mask_prunes(self, layer: str) -> None:
        asked = example(layer)
        model = self.make_model([asked])
        rng = np.random.default_rng(2)
        by_role = {role: rng.random(w.shape) < 0.5 for role, w in asked.weights.items()}
        binding = self.adapter.bind(model)
        binding.apply({weight.spec.name: by_role[weight.spec.role] for weight in binding.weights})
        pruned = {
            role: np.where(by_role[role], weight, np.zeros((), weight.dtype))
            for role, weight in asked.weights.items()
        }
        assert_same_bits(self._by_role(asked, self.read(model)), pruned, f"{layer}, applied")
        self._assert_computes(model, asked.holding(pruned))
        binding.release()
        assert_same_bits(self._by_role(asked, self.read(model)), pruned, f"{layer}, released")

    def test_a_weight_without_a_mask_is_left_alone(self) -> None:
        model = self.make_model(network())
        before = self.read(model)
        binding = self.adapter.bind(model)
        name = "second:kernel"
        binding.apply({name: np.zeros(before[name].shape, bool)})
        after = self.read(model)
        binding.release()
        wanted = before | {name: np.zeros_like(before[name])}
        assert_same_bits(after, wanted, "one weight masked")

    def test_each_apply_replaces_all_earlier_masks(self) -> None:
        model = self.make_model(network())
        binding = self.adapter.bind(model)
        shapes = {weight.spec.name: weight.spec.shape for weight in binding.weights}
        binding.apply({name: np.zeros(shape, bool) for name, shape in shapes.items()})
        binding.apply({"first:kernel": np.zeros(shapes["first:kernel"], bool)})
        self.overwrite(model, network())  # all values are nonzero
        found = binding.nonzero_pruned() or {}
        binding.release()
        assert set(found) == {"first:kernel"}, f"masks are left on {set(found)}"

    def test_a_bound_model_is_as_it_was_and_its_weights_cannot_be_written(self) -> None:
        model = self.make_model(network())
        before, structure, cls = self.read(model), self.structure(model), type(model)
        for weight in self.adapter.bind(model).weights:
            assert not weight.read().flags.writeable, f"{weight.spec.name}: read() is writable"
        assert_same_bits(self.read(model), before, "after bind")
        assert self.structure(model) == structure
        assert type(model) is cls
        self.train_step(model, network()[0].inputs(), None)
        assert self._moved(before, self.read(model)), "train_step moved no weight"

    def test_names_are_unique_and_say_layer_and_role(self) -> None:
        specs = [weight.spec for weight in self.adapter.bind(self.make_model(network())).weights]
        assert [spec.name for spec in specs] == ["first:kernel", "second:kernel"]
        assert len({spec.layer for spec in specs}) == len(specs), "position counts layers"
        names = [name for spec in specs for name in (spec.name, *spec.aliases)]
        assert len(set(names)) == len(names), f"names or aliases twice: {names}"
        assert all(spec.kind in kind_names() and spec.role in role_names() for spec in specs)

    def test_a_layer_used_twice_is_one_weight(self) -> None:
        shared = Layer("first", "dense", {"kernel": np.eye(5, dtype=np.float32)})
        names = [w.spec.name for w in self.adapter.bind(self.make_model([shared, shared])).weights]
        assert names == ["first:kernel"]

    def test_a_layer_left_dense_is_listed_with_a_reason(self) -> None:
        model = self.make_model([*network(), Layer("third", "other")])
        plan = api.plan(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
        listed = [skipped for skipped in plan.skipped if "third" in skipped.name]
        assert listed, f"the plan says nothing of the layer 'third', only {plan.skipped}"
        assert all(skipped.reason for skipped in listed)
        assert all("third" not in planned.spec.name for planned in plan.weights)

    def test_all_state_is_read_and_fills_another_model(self) -> None:
        layers = [*network(), Layer("third", "other")]
        model = self.make_model(layers)
        binding = self.adapter.bind(model)
        try:
            tensors = {tensor.name: tensor for tensor in binding.tensors()}
        except ModelError as error:
            pytest.skip(str(error))
        assert any("third" in name for name in tensors), f"a layer is missing: {list(tensors)}"
        self._assert_weights_lie_in(tensors, binding)
        other = self.make_model(
            [layer.holding({r: w + 1 for r, w in layer.weights.items()}) for layer in layers]
        )
        targets = {tensor.name: tensor for tensor in self.adapter.bind(other).tensors()}
        assert targets.keys() == tensors.keys()
        for name, target in targets.items():
            target.write(np.array(tensors[name].read()))
        assert_same_bits(self.read(other), self.read(model), "filled")
        again = {tensor.name: tensor.read() for tensor in self.adapter.bind(other).tensors()}
        wanted = {name: tensor.read() for name, tensor in tensors.items()}
        assert_same_bits(again, wanted, "state that was filled")

    def _assert_weights_lie_in(self, tensors: Mapping[str, StateTensor], binding: Binding) -> None:
        """Fail unless the tensors' parts are the weights, each once, in canonical layout."""
        found = {}
        for name, tensor in tensors.items():
            values = tensor.read()
            assert (values.shape, values.dtype.name) == (tensor.shape, tensor.dtype), name
            for part in tensor.parts:
                rows = slice(None) if part.rows is None else slice(*part.rows)
                found[part.weight] = part.layout.to_canonical(values[rows])
        wanted = {weight.spec.name: weight.read() for weight in binding.weights}
        assert_same_bits({name: found[name] for name in wanted}, wanted, "parts of tensors")

    def test_a_gradient_is_that_of_the_last_update(self) -> None:
        model = self.make_model(network())
        binding = self.adapter.bind(model)
        before = self.read(model)
        self.train_step(model, network()[0].inputs(), None)
        after = self.read(model)
        for weight in binding.weights:
            gradient = weight.gradient()
            if gradient is None:
                continue
            moved = before[weight.spec.name] - after[weight.spec.name]
            rate = np.linalg.norm(moved) / np.linalg.norm(gradient)
            np.testing.assert_allclose(gradient * rate, moved, atol=1e-5, rtol=1e-3)

    def _by_role(self, asked: Layer, weights: dict[str, Array]) -> dict[str, Array]:
        """Return the weights of a model of one layer by role, in the order asked for."""
        roles = {name.rpartition(":")[2]: name for name in weights}
        assert len(roles) == len(weights), f"two weights have the same role: {list(weights)}"
        assert set(roles) == set(asked.weights), f"{asked.type}: weights {list(weights)}"
        return {role: weights[roles[role]] for role in asked.weights}

    def _assert_computes(self, model: object, asked: Layer) -> None:
        inputs = asked.inputs()
        found, wanted = self.run(model, inputs), asked.outputs(inputs)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4, err_msg=asked.type)

    def _moved(self, before: dict[str, Array], after: dict[str, Array]) -> bool:
        return all((bits(before[name]) != bits(after[name])).any() for name in before)
