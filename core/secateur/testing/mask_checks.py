"""Checks that the masks are those of the NumPy reference adapter, bit for bit."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from secateur import api
from secateur.errors import WeightError
from secateur.testing import policies
from secateur.testing.layers import example, network
from secateur.testing.suite import Suite, assert_masked, assert_same_bits, assert_same_masks


class MaskChecks(Suite):
    """What `secateur.prune` must come to."""

    def test_masks_are_those_of_the_reference(self, layer: str) -> None:
        asked = example(layer)
        for what, policy in policies.EVERY_MASK.items():
            model = self.make_model([asked])
            reference = self.reference(model, [asked])
            wanted = api.prune(reference, policy)
            found = api.prune(model, policy)
            assert_same_masks(found.masks, wanted.masks, f"{layer}, {what}")
            left = {name: array for name, (array, _) in reference.items()}
            assert_same_bits(self.read(model), left, f"{layer}, {what}")

    def test_masks_of_several_weights_are_those_of_the_reference(self) -> None:
        for what, policy in policies.EVERY_MASK.items():
            model = self.make_model(network())
            wanted = api.prune(self.reference(model, network()), policy)
            assert_same_masks(api.prune(model, policy).masks, wanted.masks, what)

    def test_weights_are_compared_in_their_own_dtype(self, dtype: str) -> None:
        close = np.linspace(1, 1 + 2**-40, 30).reshape(6, 5).astype(dtype)
        for weight in (close, example("dense").weights["kernel"].astype(dtype)):
            asked = example("dense").holding({"kernel": weight})
            model = self.make_model([asked])
            wanted = api.prune(self.reference(model, [asked]), policies.once(0.5))
            found = api.prune(model, policies.once(0.5))
            assert_same_masks(found.masks, wanted.masks, dtype)
            assert_masked(self.read(model), found.masks, dtype)

    @pytest.mark.parametrize("sparsity", [0.0, 0.05, 0.25, 0.5, 0.9, 1.0])
    def test_the_count_is_exact(self, sparsity: float) -> None:
        model = self.make_model(network())
        report = api.prune(model, policies.once(sparsity))
        for name, weight in self.read(model).items():
            kept = round(weight.size * (1 - Fraction(repr(sparsity))))
            assert np.count_nonzero(weight) == kept, f"{name} at {sparsity}"
            assert np.count_nonzero(report.masks[name]) == kept, f"{name} at {sparsity}"

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_a_weight_that_is_not_finite_is_named_and_nothing_is_changed(self, bad: float) -> None:
        first, second = network()
        second.weights["kernel"][3, 1] = bad
        model = self.make_model([first, second])
        structure, hooks = self.structure(model), self.hooks(model)
        with pytest.raises(WeightError, match=r"(?s)second:kernel.*\(3, 1\)"):
            api.prune(model, policies.once(0.5))
        with pytest.raises(WeightError, match=r"(?s)second:kernel.*\(3, 1\)"):
            self.attach(model, policies.constant(0.5))
        asked = {name: pair[0] for name, pair in self.reference(model, [first, second]).items()}
        assert_same_bits(self.read(model), asked, "after the error")
        assert self.structure(model) == structure, "after the error"
        assert self.hooks(model) == hooks, "after the error"
