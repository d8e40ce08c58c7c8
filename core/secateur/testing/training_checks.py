"""Checks of what happens during training: the order of a step, and what follows the masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest

from secateur import api
from secateur.errors import PluginError, WeightError
from secateur.layout import Array
from secateur.run.pruner import Pruner
from secateur.testing import policies
from secateur.testing.failing import fragile
from secateur.testing.layers import Layer, example, network
from secateur.testing.suite import (
    Suite,
    assert_masked,
    assert_same_bits,
    assert_same_masks,
    bits,
)


class TrainingChecks(Suite):
    """What an attached model must do."""

    def test_attach_evaluates_step_0(self) -> None:
        model = self.make_model(network())
        wanted = api.prune(self.reference(model, network()), policies.once(0.5)).masks
        pruner = self.attach(model, policies.constant(0.5))
        assert pruner.current_step == 0
        assert_same_masks(pruner.masks, wanted, "step 0")
        assert_masked(self.read(model), wanted, "step 0")
        pruner.detach()

    def test_pruned_weights_stay_plus_zero(self, layer: str) -> None:
        asked = example(layer)
        model = self.make_model([asked])
        pruner = self.attach(model, policies.growing(2))
        sparser = [dict(pruner.masks)]
        for step in (1, 2, 3):
            self.train_step(model, asked.inputs(), pruner)
            assert pruner.current_step == step, f"after {step} updates"
            assert_masked(self.read(model), pruner.masks, f"{layer}, step {step}")
            sparser.append(dict(pruner.masks))
        for name in sparser[0]:
            for before, after in pairwise(sparser):
                assert not (after[name] & ~before[name]).any(), f"{name} grew back"
        for name, mask in pruner.masks.items():
            assert np.count_nonzero(mask) == round(mask.size * 0.2), f"{name} at the end"
        pruner.detach()

    def test_each_step_is_update_then_present_masks_then_new_masks(self) -> None:
        layers = network()
        model = self.make_model(layers)
        reference = self.reference(model, layers)
        wanted = api.attach(reference, policies.growing())
        pruner = self.attach(model, policies.growing())
        for step in (1, 2, 3, 4, 5):
            self._update_without_masks(model, reference, layers, layers[0].inputs())
            wanted.step()
            self.train_step(model, layers[0].inputs(), pruner)
            assert pruner.current_step == step
            assert_same_masks(pruner.masks, wanted.masks, f"step {step}")
            for name, found in self.read(model).items():
                np.testing.assert_allclose(
                    found, reference[name][0], rtol=1e-5, atol=1e-6, err_msg=f"{name}, step {step}"
                )
                assert not bits(found)[~wanted.masks[name]].any(), f"{name}, step {step}"
        pruner.detach()

    def test_thresholds_prune_what_lies_below_them_after_an_update(self) -> None:
        layers = network()
        model, inputs = self.make_model(layers), layers[0].inputs() * np.float32(4)
        reference = self.reference(model, layers)
        wanted = api.attach(reference, policies.below_thresholds())
        pruner = self.attach(model, policies.below_thresholds())
        assert_same_masks(pruner.masks, wanted.masks, "step 0")
        self._update_without_masks(model, reference, layers, inputs)
        wanted.step()
        self.train_step(model, inputs, pruner)
        assert_same_masks(pruner.masks, wanted.masks, "step 1")
        assert_masked(self.read(model), wanted.masks, "step 1")
        assert pruner.report().sparsity == wanted.report().sparsity
        pruner.detach()

    def test_a_weight_is_masked_from_the_step_on_at_which_its_schedule_begins(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, policies.constant(0.5, begin=2))
        for sparsity in (0.0, 0.5, 0.5):
            self.train_step(model, network()[0].inputs(), pruner)
            for name, weight in self.read(model).items():
                zeros = 1 - np.count_nonzero(weight) / weight.size
                assert zeros == sparsity, f"{name}, step {pruner.current_step}"
        pruner.detach()

    def test_one_update_of_a_layer_used_twice_is_one_step(self) -> None:
        kernel = np.random.default_rng(0).normal(size=(5, 5)).astype(np.float32)
        shared = Layer("first", "dense", {"kernel": kernel})
        model = self.make_model([shared, shared])
        pruner = self.attach(model, policies.growing(2))
        for step in (1, 2):
            self.train_step(model, shared.inputs(), pruner)
            assert pruner.current_step == step
            assert_masked(self.read(model), pruner.masks, f"step {step}")
        pruner.detach()

    def test_inference_changes_nothing(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, policies.growing(1))
        self.train_step(model, network()[0].inputs(), pruner)
        before = self.read(model)
        first, second = (self.run(model, network()[0].inputs()) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        assert_same_bits(self.read(model), before, "after inference")
        assert pruner.current_step == 1
        pruner.detach()

    def test_the_model_keeps_its_type_and_structure(self) -> None:
        model = self.make_model(network())
        cls, structure, hooks = type(model), self.structure(model), self.hooks(model)
        pruner = self.attach(model, policies.growing(1))
        self.train_step(model, network()[0].inputs(), pruner)
        assert type(model) is cls
        assert self.structure(model) == structure, "while attached"
        pruner.detach()
        assert type(model) is cls
        assert self.structure(model) == structure, "after detach"
        assert self.hooks(model) == hooks, "after detach"

    def test_detach_removes_every_hook(self) -> None:
        layers = network()
        model = self.make_model(layers)
        pruner = self.attach(model, policies.constant(0.5))
        self.train_step(model, layers[0].inputs(), pruner)
        pruner.detach()
        masked = self.read(model)
        assert_masked(masked, pruner.masks, "at detach")
        twin = self.remake(layers, masked)
        for trained in (model, twin):
            self.train_step(trained, layers[0].inputs(), None)
        assert pruner.current_step == 1
        after, free = self.read(model), self.read(twin)
        for name, mask in pruner.masks.items():
            np.testing.assert_allclose(after[name], free[name], rtol=1e-5, atol=1e-6, err_msg=name)
            assert after[name][~mask].any(), f"{name}: still held after detach"
        again = self.attach(model, policies.constant(0.5))
        self.train_step(model, layers[0].inputs(), again)
        assert_masked(self.read(model), again.masks, "attached again")
        again.detach()

    def test_one_shot_pruning_leaves_no_hook(self) -> None:
        model = self.make_model(network())
        report = api.prune(model, policies.once(0.5))
        self.train_step(model, network()[0].inputs(), None)
        after = self.read(model)
        for name, mask in report.masks.items():
            assert after[name][~mask].any(), f"{name}: held after a one-shot pruning"

    def test_training_that_diverges_is_an_error_and_the_masks_stay(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, policies.growing())
        self.train_step(model, network()[0].inputs(), pruner)
        masks = dict(pruner.masks)
        with pytest.raises(WeightError, match="first:kernel"):
            self.train_step(model, np.full_like(network()[0].inputs(), np.nan), pruner)
        assert_same_masks(pruner.masks, masks, "after the error")
        assert_masked(self.read(model), masks, "after the error")

    @pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), StopIteration(3)], ids=repr)
    def test_an_update_that_a_plugin_spoils_is_an_error_and_is_made_up(
        self, error: Exception
    ) -> None:
        with fragile() as criterion:
            model = self.make_model(network())
            pruner = self.attach(model, policies.growing(3, criterion=criterion.kind))
            for _ in range(2):
                self.train_step(model, network()[0].inputs(), pruner)
            masks = dict(pruner.masks)
            criterion.error = error
            with pytest.raises(PluginError, match=type(error).__name__):
                self.train_step(model, network()[0].inputs(), pruner)
            assert_same_masks(pruner.masks, masks, "after the error")
            assert_masked(self.read(model), masks, "after the error")
            criterion.error = None
            self.train_step(model, network()[0].inputs(), pruner)
            self._assert_final(model, pruner)
            pruner.detach()

    def test_an_update_that_a_nan_spoils_is_made_up(self) -> None:
        first, second = network()
        model = self.make_model([first, second])
        pruner = self.attach(model, policies.growing(3))
        for _ in range(2):
            self.train_step(model, first.inputs(), pruner)
        good = self.read(model)
        bad = good["second:kernel"].copy()
        bad[pruner.masks["second:kernel"]] = np.nan
        self.overwrite(model, [second.holding({"kernel": bad})])
        with pytest.raises(WeightError, match=r"second:kernel|first:kernel"):
            self.train_step(model, first.inputs(), pruner)
        values = {layer.name: good[f"{layer.name}:kernel"] for layer in (first, second)}
        self.overwrite(
            model, [layer.holding({"kernel": values[layer.name]}) for layer in (first, second)]
        )
        pruner.step(0)
        self._assert_final(model, pruner)
        assert not pruner.report().notes
        pruner.detach()

    def _update_without_masks(
        self,
        model: object,
        reference: Mapping[str, tuple[Array, str]],
        layers: Sequence[Layer],
        inputs: Array,
    ) -> None:
        """Put into a model of the reference adapter what an update would make of the weights."""
        twin = self.remake(layers, self.read(model))
        self.train_step(twin, inputs, None)
        for name, updated in self.read(twin).items():
            np.copyto(reference[name][0], updated)

    def _assert_final(self, model: object, pruner: Pruner) -> None:
        for name, mask in pruner.masks.items():
            assert np.count_nonzero(mask) == round(mask.size * 0.2), f"{name}: an update was lost"
        assert_masked(self.read(model), pruner.masks, "made up")
