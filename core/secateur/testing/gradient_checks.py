"""Checks of criteria that watch training: the gradients they get, and the memory they keep."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from secateur import api
from secateur.components.criteria import Criterion, RigL
from secateur.errors import ModelError
from secateur.hooks.hookspecs import hookimpl
from secateur.hooks.registry import register, unregister
from secateur.layout import Array
from secateur.run.pruner import Pruner
from secateur.testing import policies
from secateur.testing.layers import example, network
from secateur.testing.state_checks import by_dict, by_file
from secateur.testing.suite import Suite, assert_masked, assert_same_bits, assert_same_masks


class Watching(Criterion):
    """``|w m|`` with the running mean ``m`` of the gradient; shows what it was given.

    Attributes:
        given: The values and the gradient of the last update, flat and canonical, by weight.

    """

    kind = "watching_of_the_kit"
    elementwise = True
    needs: ClassVar[frozenset[str]] = frozenset({"gradient"})
    memory: ClassVar[Mapping[str, str]] = {"mean": "float32"}
    given: ClassVar[dict[str, tuple[Array, Array]]] = {}

    def update(
        self, state: Mapping[str, Array], weight: Array, gradient: Any, context: Any
    ) -> dict[str, Array]:
        order = np.argsort(context.index)
        Watching.given[context.name] = weight[order], gradient[order]
        return {"mean": 0.5 * state["mean"] + 0.5 * gradient.astype(np.float64)}

    def score(self, weight: Array, context: Any) -> Array:
        found: Array = np.abs(weight.astype(np.float64) * context.memory["mean"])
        return found


class Moving(RigL):
    """RigL; shows what it was given, as `Watching` does."""

    kind = "moving_of_the_kit"
    memory: ClassVar[Mapping[str, str]] = {"steps": "int32"}

    def update(
        self, state: Mapping[str, Array], weight: Array, gradient: Any, context: Any
    ) -> dict[str, Array]:
        order = np.argsort(context.index)
        Watching.given[context.name] = weight[order], gradient[order]
        return {"steps": state["steps"] + 1}


class GradientChecks(Suite):
    """What criteria that watch training must get; skipped where an adapter gives no gradients."""

    @pytest.fixture
    def _watching(self) -> Iterator[None]:
        plugin = SimpleNamespace(secateur_criteria=hookimpl(lambda: [Watching, Moving]))
        register(plugin, "watching-of-the-kit")
        yield
        unregister("watching-of-the-kit")
        Watching.given.clear()

    @pytest.mark.usefixtures("_watching")
    def test_a_criterion_gets_the_gradient_of_each_update(self) -> None:
        model = self.make_model(network())
        pruner = self.attach(model, _policy(begin=9))
        rates = [self._rates(model, pruner, factor) for factor in (1, -2, 3)]
        for name in rates[0]:
            each = [rate[name] for rate in rates]
            np.testing.assert_allclose(each, each[0], rtol=1e-3, err_msg=f"{name}: another scale")
        _let_go(pruner)

    @pytest.mark.usefixtures("_watching")
    def test_a_gradient_is_that_after_clipping(self) -> None:
        if not self.clips:
            pytest.skip("train_step does not clip")
        model = self.make_model(network())
        pruner = self.attach(model, _policy(begin=9))
        self._rates(model, pruner, 1)
        largest = max(np.abs(gradient).max() for _, gradient in Watching.given.values())
        self.clip_at = float(largest) / 4
        self._rates(model, pruner, 1)
        for name, (_, gradient) in Watching.given.items():
            assert np.abs(gradient).max() <= self.clip_at * 1.001, f"{name}: before clipping"
        self.clip_at = None
        _let_go(pruner)

    @pytest.mark.usefixtures("_watching")
    def test_masks_by_gradients_and_memory_are_those_of_the_reference(self) -> None:
        layers = network()
        model = self.make_model(layers)
        reference = self.reference(model, layers)
        wanted = api.attach(reference, _policy())
        pruner = self.attach(model, _policy())
        for step in (1, 2, 3, 4):
            self._train_on(model, pruner, step)
            self._follow(reference, wanted)
            assert_same_masks(pruner.masks, wanted.masks, f"step {step}")
        pruner.detach()

    @pytest.mark.usefixtures("_watching")
    def test_weights_go_and_come_as_in_the_reference_and_their_number_stays(self) -> None:
        layers = network()
        model = self.make_model(layers)
        reference = self.reference(model, layers)
        wanted = api.attach(reference, policies.moving(Moving.kind))
        pruner = self.attach(model, policies.moving(Moving.kind))
        for step in (1, 2, 3, 4):
            self._train_on(model, pruner, step)
            self._follow(reference, wanted)
            assert_same_masks(pruner.masks, wanted.masks, f"step {step}")
            assert_masked(self.read(model), pruner.masks, f"step {step}")
            assert_masked(
                self.read(model), {n: ~m for n, m in pruner.revived.items()}, "what came back"
            )
            for name, mask in pruner.masks.items():
                assert np.count_nonzero(mask) == round(mask.size * 0.5), f"{name}, step {step}"
        pruner.detach()

    @pytest.mark.parametrize("carry", [by_dict, by_file], ids=["state_dict", "file"])
    @pytest.mark.usefixtures("_watching")
    def test_memory_is_part_of_the_state(
        self, carry: Callable[[Pruner, Pruner, Path], None], tmp_path: Path
    ) -> None:
        layers = network()
        model = self.make_model(layers)
        pruner = self.attach(model, _policy())
        for step in (1, 2):
            self._train_on(model, pruner, step)
        resumed = self.remake(layers, self.read(model))
        resumer = self.attach(resumed, _policy())
        carry(pruner, resumer, tmp_path)
        kept, found = (_memory(each, tmp_path / "memory.npz") for each in (pruner, resumer))
        assert kept, "the state has no memory"
        for key, array in kept.items():
            assert array.any(), f"{key} holds nothing after two updates"
            np.testing.assert_array_equal(found[key], array, key)
        for trained, each in ((model, pruner), (resumed, resumer)):
            self._train_on(trained, each, 3)
        assert_same_masks(resumer.masks, pruner.masks, "trained on")
        for each in (pruner, resumer):
            _let_go(each)

    def _follow(self, reference: Mapping[str, tuple[Array, str]], wanted: Pruner) -> None:
        """Make the update that the criterion was shown in a model of the reference adapter."""
        given = {
            name: tuple(values.reshape(reference[name][0].shape) for values in pair)
            for name, pair in Watching.given.items()
        }
        for name, (values, _) in given.items():
            np.copyto(reference[name][0], values)
        wanted.step(gradients={name: gradient for name, (_, gradient) in given.items()})

    def _rates(self, model: object, pruner: Pruner, factor: int) -> dict[str, float]:
        """Train, and return by what multiple of its gradient each weight has moved."""
        before = self.read(model)
        self._train_on(model, pruner, factor)
        rates = {}
        for name, after in self.read(model).items():
            moved = (before[name] - after).astype(np.float64)
            gradient = Watching.given[name][1].astype(np.float64).reshape(moved.shape)
            rates[name] = float(np.linalg.norm(moved) / np.linalg.norm(gradient))
            np.testing.assert_allclose(
                gradient * rates[name],
                moved,
                rtol=2e-3,
                atol=2e-3 * np.abs(moved).max(),
                err_msg=f"{name}: it did not move by the gradient that the criterion got",
            )
        return rates

    def _train_on(self, model: object, pruner: Pruner, factor: int) -> None:
        """Make an update on other inputs for each factor; skip where there are no gradients."""
        try:
            self.train_step(model, network()[0].inputs() * np.float32(factor), pruner)
        except ModelError as error:
            if "gradients=" not in str(error):
                raise
            _let_go(pruner)
            pytest.skip("the adapter gives no gradients")


class RegrowthChecks(Suite):
    """What must hold where weights come back."""

    def test_a_weight_that_comes_back_starts_from_plus_zero_without_momentum(self) -> None:
        self.momentum = 0.5 if self.has_momentum else 0.0
        layers = network()
        model = self.make_model(layers)
        pruner = self.attach(model, policies.alternating())
        for _ in range(3):
            self.train_step(model, layers[0].inputs(), pruner)
        back = {name: np.array(mask) for name, mask in pruner.revived.items()}
        assert any(mask.any() for mask in back.values()), "nothing came back at step 3"
        at_zero = self.read(model)
        assert_masked(at_zero, {name: ~mask for name, mask in back.items()}, "step 3")
        fresh = self.remake(layers, at_zero)
        for trained, each in ((model, pruner), (fresh, None)):
            self.train_step(trained, layers[0].inputs(), each)
        found, wanted = self.read(model), self.read(fresh)
        for name, mask in back.items():
            np.testing.assert_allclose(
                found[name][mask],
                wanted[name][mask],
                rtol=1e-4,
                atol=1e-7,
                err_msg=f"{name}: moved by more than one update",
            )
            if self.momentum:
                assert (found[name] != wanted[name])[~mask].any(), f"{name}: no momentum at all"
        _let_go(pruner)

    def test_earlier_weights_are_put_under_the_present_masks(self, layer: str) -> None:
        asked = example(layer)
        model = self.make_model([asked])
        if not all(weight.writable for weight in self.adapter.bind(model).weights):
            pytest.skip("the adapter cannot put values into weights")
        early = self.read(model)
        pruner = self.attach(model, policies.constant(0.5))
        for _ in range(2):
            self.train_step(model, asked.inputs(), pruner)
        wrong = {name: array.reshape(-1) for name, array in early.items()}
        before = self.read(model)
        with pytest.raises(ModelError, match="nothing was changed"):
            pruner.rewind(wrong)
        assert_same_bits(self.read(model), before, "after the error")
        pruner.rewind(early)
        masks = pruner.masks
        wanted = {
            name: np.where(masks[name], array, np.zeros((), array.dtype))
            for name, array in early.items()
        }
        assert_same_bits(self.read(model), wanted, "rewound")
        self.train_step(model, asked.inputs(), pruner)
        assert_masked(self.read(model), pruner.masks, "trained again")
        pruner.detach()


def _policy(begin: int = 1) -> dict[str, Any]:
    schedule = {"kind": "linear", "initial_sparsity": 0.2, "final_sparsity": 0.8}
    schedule |= {"begin_step": begin, "end_step": begin + 3, "frequency": 1}
    return {"schedule": schedule, "criterion": Watching.kind}


def _memory(pruner: Pruner, path: Path) -> dict[str, Array]:
    pruner.save(path)
    with np.load(path) as arrays:
        return {key: arrays[key] for key in arrays if key.startswith("memory/")}


def _let_go(pruner: Pruner) -> None:
    """Detach before the schedule has ended, which is meant here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pruner.detach()
