"""Checks that a run can be stopped and resumed, and a model saved and loaded as usual."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secateur import api
from secateur.errors import StateError
from secateur.run.pruner import Pruner
from secateur.testing import policies
from secateur.testing.failing import observed
from secateur.testing.layers import network
from secateur.testing.suite import Suite, assert_masked, assert_same_bits, assert_same_masks


def by_dict(old: Pruner, new: Pruner, folder: Path) -> None:
    """Carry a state from one pruner to another in a dictionary."""
    new.load_state_dict(old.state_dict())


def by_file(old: Pruner, new: Pruner, folder: Path) -> None:
    """Carry a state from one pruner to another in a file."""
    old.save(folder / "pruner.npz")
    new.load(folder / "pruner.npz")


class StateChecks(Suite):
    """What checkpoints must do."""

    @pytest.mark.parametrize("carry", [by_dict, by_file], ids=["state_dict", "file"])
    def test_a_resumed_run_equals_the_uninterrupted_one(
        self, carry: Callable[[Pruner, Pruner, Path], None], tmp_path: Path
    ) -> None:
        layers = network()
        model = self.make_model(layers)
        pruner = self.attach(model, policies.growing(5))
        self._train(model, pruner, 2)
        resumed = self.remake(layers, self.read(model))
        resumer = self.attach(resumed, policies.growing(5))
        carry(pruner, resumer, tmp_path)
        assert resumer.current_step == 2
        assert_same_masks(resumer.masks, pruner.masks, "loaded")
        for _ in range(4):
            self._train(model, pruner, 1)
            self._train(resumed, resumer, 1)
            what = f"step {pruner.current_step}"
            assert resumer.current_step == pruner.current_step
            assert_same_masks(resumer.masks, pruner.masks, what)
            # to rounding only: threads may share out the sums of a matrix product differently
            for name, weight in self.read(model).items():
                np.testing.assert_allclose(
                    self.read(resumed)[name], weight, rtol=1e-4, atol=1e-6, err_msg=what
                )
        pruner.detach()
        resumer.detach()

    def test_masks_that_are_loaded_are_applied_at_once(self, tmp_path: Path) -> None:
        model = self.make_model(network())
        mapping = {
            name: (-pair[0], pair[1]) for name, pair in self.reference(model, network()).items()
        }
        reference = api.attach(mapping, policies.constant(0.5))
        for array, _ in mapping.values():
            array[...] = array[::-1]
        reference.step()
        reference.save(tmp_path / "pruner.npz")
        pruner = self.attach(model, policies.constant(0.5))
        with observed() as events:
            pruner.load(tmp_path / "pruner.npz")
        assert len(events) == 1, f"observers heard {len(events)} events of one load"
        assert_same_masks(events[0].masks, reference.masks, "what observers heard")
        assert_same_masks(pruner.masks, reference.masks, "a state of the reference")
        assert_masked(self.read(model), reference.masks, "a state of the reference")
        self._train(model, pruner, 1)
        assert pruner.current_step == 2
        assert_masked(self.read(model), pruner.masks, "trained on")
        pruner.detach()

    def test_a_state_of_another_policy_is_refused_and_nothing_is_changed(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, policies.constant(0.5))
        state = pruner.state_dict()
        pruner.detach()
        again = self.attach(model, policies.constant(0.75))
        before, masks = self.read(model), dict(again.masks)
        with pytest.raises(StateError, match="policy"):
            again.load_state_dict(state)
        assert_same_bits(self.read(model), before, "refused")
        assert_same_masks(again.masks, masks, "refused")
        again.detach()

    def test_a_model_saves_and_loads_as_ever_while_attached(self, tmp_path: Path) -> None:
        model = self.make_model(network())
        structure = self.structure(model)
        pruner = self.attach(model, policies.growing(3))
        self._train(model, pruner, 2)
        before = self.read(model)
        loaded = self.save_and_load(model, tmp_path)
        assert_same_bits(self.read(loaded), before, "loaded")
        assert_same_bits(self.read(model), before, "saved")
        assert type(loaded) is type(model)
        assert self.structure(loaded) == structure
        inputs = network()[0].inputs()
        np.testing.assert_array_equal(self.run(loaded, inputs), self.run(model, inputs))
        self._train(model, pruner, 1)
        assert pruner.current_step == 3
        assert_masked(self.read(model), pruner.masks, "trained on after saving")
        pruner.detach()
        self.train_step(loaded, inputs, None)
        for name, weight in self.read(loaded).items():
            freed = np.count_nonzero(weight) > np.count_nonzero(before[name])
            assert freed, f"{name}: the model that was loaded is held by masks"

    def _train(self, model: Any, pruner: Pruner, steps: int) -> None:
        for _ in range(steps):
            self.train_step(model, network()[0].inputs(), pruner)
