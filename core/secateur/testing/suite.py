"""What an adapter's author gives the kit, and what the checks are written with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from secateur import api
from secateur.adapter import Adapter
from secateur.hooks.hookspecs import hookimpl
from secateur.hooks.registry import register, registry, unregister
from secateur.layout import Array
from secateur.policy.policy import PolicyLike
from secateur.run.pruner import Pruner
from secateur.testing.layers import Layer


class Suite(ABC):
    """The part that an adapter's author writes.

    `adapter` is the adapter; `layers` the types of layer that it knows, of
    `secateur.testing.LAYERS`; `dtypes` the dtypes that its weights can have, by NumPy's names.
    """

    adapter: ClassVar[Adapter]
    layers: ClassVar[Sequence[str]] = ("dense",)
    dtypes: ClassVar[Sequence[str]] = ("float32",)

    @abstractmethod
    def make_model(self, layers: Sequence[Layer]) -> Any:
        """Return a new model that applies these layers in turn, holding their weights.

        A layer's `name` must be its name in the model.  The same `Layer` object twice is one
        layer used twice.  A layer of type "other" has parameters and keeps the shape of what
        it gets, and is not prunable: a normalisation will do.
        """

    @abstractmethod
    def run(self, model: Any, inputs: Array) -> Array:
        """Return the model's outputs, in inference; channels stand first in both."""

    @abstractmethod
    def train_step(self, model: Any, inputs: Array, pruner: Pruner | None) -> None:
        """Make one optimizer update on any loss of the outputs, as a user would.

        Plain gradient descent without momentum, the same on the same weights each time.  Where
        the framework does not tell the pruner itself, call ``pruner.step()``; without a
        pruner, the model is not attached, or no longer.
        """

    @abstractmethod
    def save_and_load(self, model: Any, folder: Path) -> Any:
        """Save the model in the framework's own way; return a new one that loaded it."""

    def attach(self, model: Any, policy: PolicyLike) -> Pruner:
        """Attach as a user would; override to pass ``optimizer=``."""
        return api.attach(model, policy)

    def structure(self, model: Any) -> object:
        """Return what pruning must not touch, such as the keys of the model's state dict."""
        return [weight.spec for weight in self.adapter.bind(model).weights]

    def hooks(self, model: Any) -> object:
        """Return what an attached model carries, in any form that compares; detach clears it."""
        return None

    @pytest.fixture(autouse=True)
    def _adapter_is_registered(self) -> Iterator[None]:
        if any(type(known) is type(self.adapter) for known in registry().adapters()):
            yield
            return
        plugin = SimpleNamespace(secateur_adapters=hookimpl(lambda: [self.adapter]))
        register(plugin, "adapter-under-test")
        yield
        unregister("adapter-under-test")

    def read(self, model: Any) -> dict[str, Array]:
        """Return copies of all prunable weights, by name."""
        binding = self.adapter.bind(model)
        return {weight.spec.name: np.array(weight.read()) for weight in binding.weights}

    def remake(self, layers: Sequence[Layer], weights: Mapping[str, Array]) -> Any:
        """Return a new model of the same dense layers that holds other weights."""
        return self.make_model(
            [layer.holding({"kernel": weights[f"{layer.name}:kernel"]}) for layer in layers]
        )

    def reference(self, model: Any, layers: Sequence[Layer]) -> dict[str, tuple[Array, str]]:
        """Return the weights that were asked for as a model of the reference adapter."""
        by_name = {layer.name: layer for layer in layers}
        specs = [weight.spec for weight in self.adapter.bind(model).weights]
        asked = {spec.name: by_name.get(spec.layer, layers[0]) for spec in specs}
        return {
            spec.name: (asked[spec.name].weights[spec.role].copy(), asked[spec.name].kind)
            for spec in specs
        }


def bits(array: Array) -> Array:
    """Return the bits of floats as integers: -0.0 is not 0.0 here."""
    return np.ascontiguousarray(array).view(f"uint{8 * array.itemsize}")


def assert_same_bits(found: Mapping[str, Array], wanted: Mapping[str, Array], what: str) -> None:
    """Fail, naming the weight, unless both hold the same names and the same bits."""
    assert list(found) == list(wanted), f"{what}: weights {list(found)}, wanted {list(wanted)}"
    for name in wanted:
        assert found[name].dtype == wanted[name].dtype, f"{what}: {name} is {found[name].dtype}"
        np.testing.assert_array_equal(bits(found[name]), bits(wanted[name]), f"{what}: {name}")


def assert_same_masks(found: Mapping[str, Array], wanted: Mapping[str, Array], what: str) -> None:
    """Fail, naming the weight, unless both hold the same masks."""
    assert set(found) == set(wanted), f"{what}: masks of {set(found)}, wanted {set(wanted)}"
    for name in wanted:
        np.testing.assert_array_equal(found[name], wanted[name], f"{what}: {name}")


def assert_masked(weights: Mapping[str, Array], masks: Mapping[str, Array], what: str) -> None:
    """Fail, naming the weight, unless all bits of every pruned weight are clear."""
    for name, mask in masks.items():
        left = bits(weights[name])[~mask]
        assert not left.any(), (
            f"{what}: {name} has {np.count_nonzero(left)} pruned weights that are not +0.0"
        )
