"""Checks of what is said of a live model, whatever was done to it: counts, notes, claims."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from secateur import api
from secateur.errors import ModelError, StateWarning
from secateur.layout import Array
from secateur.testing import policies
from secateur.testing.layers import Layer, network
from secateur.testing.suite import Suite, assert_masked, assert_same_bits


class LiveChecks(Suite):
    """What counts, `nonzero_pruned`, `model_changes` and `identity` must come to."""

    def test_everything_is_counted(self) -> None:
        model = self.make_model([*network(), Layer("third", "other")])
        binding = self.adapter.bind(model)
        left = [skipped for skipped in binding.skipped if "third" in skipped.name]
        assert sum(skipped.size for skipped in left) > 0, "what is left dense has no size"
        counted = sum(weight.spec.size for weight in binding.weights)
        counted += sum(skipped.size for skipped in binding.skipped)
        parameters = binding.parameters
        assert parameters is None or parameters >= counted, (
            f"parameters = {parameters}, and weights and skipped layers have {counted}"
        )

    def test_nonzero_pruned_counts_what_the_model_holds(self) -> None:
        model = self.make_model(network())
        binding = self.adapter.bind(model)
        masks = _some_masks(self.read(model))
        binding.apply(masks)
        assert not binding.nonzero_pruned(), "just after apply"
        self.overwrite(model, _changed(network()))
        held = self.read(model)
        wanted = {name: int(np.count_nonzero(held[name][~mask])) for name, mask in masks.items()}
        assert binding.nonzero_pruned() == {n: c for n, c in wanted.items() if c}
        binding.enforce()
        if not any(np.count_nonzero(self.read(model)[name][~mask]) for name, mask in masks.items()):
            assert not binding.nonzero_pruned(), "after enforce"
        binding.release()

    def test_a_report_counts_the_live_weights(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, policies.constant(0.5))
        assert pruner.report().sparsity == 0.5
        self.overwrite(model, _changed(network()))
        held = self.read(model)
        report = pruner.report()
        for weight in report.weights:
            zeros = int(np.count_nonzero((held[weight.name] == 0) & ~report.masks[weight.name]))
            assert weight.size - weight.kept == zeros, f"{weight.name} has {zeros} pruned zeros"
        if report.sparsity < 0.5:
            assert any("not zero" in note for note in report.notes), report.notes
        pruner.step(0)
        assert pruner.report().sparsity == 0.5, "after step(0)"
        assert_masked(self.read(model), pruner.masks, "after step(0)")
        pruner.detach()

    def test_a_replaced_layer_is_noted_and_detach_lets_go(self) -> None:
        model = self.make_model(network())
        binding, hooks = self.adapter.bind(model), self.hooks(model)
        assert dict(binding.model_changes()) == {}, "as it was bound"
        pruner = self.attach(model, policies.constant(0.5))
        self.replace_layer(model, _changed(network())[1])
        name = "second:kernel"
        notes = dict(binding.model_changes())
        assert name in notes, f"the layer of {name} was replaced, and model_changes is {notes}"
        assert name in notes[name], f"the note on {name} does not name it: {notes[name]}"
        assert name not in (binding.nonzero_pruned() or {}), (
            "the masks of a changed weight do not fit"
        )
        binding.enforce()
        report = pruner.report()
        (planned,) = (weight for weight in report.weights if weight.name == name)
        assert planned.kept == planned.size, f"{name} counts as pruned"
        assert any(name in note for note in report.notes), report.notes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", StateWarning)
            pruner.detach()
        assert self.hooks(model) == hooks, "after detach"
        again = self.attach(model, policies.constant(0.5))
        assert_masked(self.read(model), again.masks, "attached again")
        again.detach()

    def test_a_model_is_attached_once_at_a_time(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, policies.constant(0.5))
        before = self.read(model)
        for prune in (self.attach, api.prune):
            with pytest.raises(ModelError, match=r"first:kernel.*another pruner"):
                prune(model, policies.constant(0.75))
        assert_same_bits(self.read(model), before, "attached twice")
        self.train_step(model, network()[0].inputs(), pruner)
        assert pruner.current_step == 1
        assert_masked(self.read(model), pruner.masks, "trained on")
        pruner.detach()
        again = self.attach(model, policies.constant(0.75))
        assert again.report().sparsity == pytest.approx(0.75, abs=0.05)
        again.detach()


def _changed(layers: list[Layer]) -> list[Layer]:
    """Return the layers, with weights that hold no zero."""
    return [
        layer.holding({role: np.abs(array) + 1 for role, array in layer.weights.items()})
        for layer in layers
    ]


def _some_masks(weights: dict[str, Array]) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    return {name: rng.random(array.shape) < 0.5 for name, array in weights.items()}
