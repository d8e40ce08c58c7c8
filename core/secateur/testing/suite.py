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

    Attributes:
        adapter: The adapter.
        layers: The types of layer that it knows, of `secateur.testing.LAYERS`.
        dtypes: The dtypes that its weights can have, by NumPy's names.
        clips: Whether `train_step` clips gradients by value to ``-clip_at .. clip_at``, as users
            of the framework do, while the kit sets `clip_at`.
        clip_at: The largest gradient; None for no clipping.
        has_momentum: Whether `make_model` and `attach` make optimizers with the kit's `momentum`.
        momentum: The momentum of the optimizers to be made; 0 for plain gradient descent.

    """

    adapter: ClassVar[Adapter]
    layers: ClassVar[Sequence[str]] = ("dense",)
    dtypes: ClassVar[Sequence[str]] = ("float32",)
    clips: ClassVar[bool] = False
    clip_at: float | None = None
    has_momentum: ClassVar[bool] = False
    momentum: float = 0.0

    @abstractmethod
    def make_model(self, layers: Sequence[Layer]) -> Any:
        """Return a new model that applies some layers in turn, holding their weights.

        Args:
            layers: The layers.  Their names must be those in the model.  The same `Layer` object
                twice is one layer that is used twice.  A layer of type "other" has parameters,
                keeps the shape of its input, and is not prunable: a normalization will do.

        """

    @abstractmethod
    def run(self, model: Any, inputs: Array) -> Array:
        """Return the model's outputs, in inference.

        Args:
            model: What `make_model` returned.
            inputs: A batch, channels first; so are the outputs.

        """

    @abstractmethod
    def train_step(self, model: Any, inputs: Array, pruner: Pruner | None) -> None:
        """Make one optimizer update on any loss of the outputs, as a user would.

        It is plain gradient descent without momentum, unless `momentum` asks for it, and the same
        on the same weights each time.

        Args:
            model: What `make_model` returned.
            inputs: A batch, channels first.
            pruner: What `attach` returned: call its ``step()``, unless the framework does.
                None when the model is not attached, or no longer.

        """

    @abstractmethod
    def save_and_load(self, model: Any, folder: Path) -> Any:
        """Save the model in the framework's own way, and return a new one that loaded it.

        Args:
            model: What `make_model` returned; it may be attached.
            folder: An empty folder.

        """

    @abstractmethod
    def overwrite(self, model: Any, layers: Sequence[Layer]) -> None:
        """Put other values into the weights of a model, as loading a checkpoint does.

        Args:
            model: What `make_model` returned; it may be attached.
            layers: Dense layers of its, by their names, with the new weights.

        """

    def replace_layer(self, model: Any, layer: Layer) -> None:
        """Put a new layer in the place of one; leave this out where no user can.

        Args:
            model: What `make_model` returned; it may be attached.
            layer: The new layer, dense, under the name of the old one.

        """
        pytest.skip("the framework has no way to replace a layer of a model")

    def attach(self, model: Any, policy: PolicyLike) -> Pruner:
        """Attach as a user would; override to pass ``optimizer=``.

        Args:
            model: What `make_model` returned.
            policy: The policy.

        """
        return api.attach(model, policy)

    def structure(self, model: Any) -> object:
        """Return what pruning must not touch, such as the keys of the model's state dict.

        Args:
            model: What `make_model` returned.

        """
        return [weight.spec for weight in self.adapter.bind(model).weights]

    def hooks(self, model: Any) -> object:
        """Return what an attached model carries, in any form that compares; detach removes it.

        Args:
            model: What `make_model` returned.

        """
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
        """Return copies of all prunable weights, by name.

        Args:
            model: What `make_model` returned.

        """
        binding = self.adapter.bind(model)
        return {weight.spec.name: np.array(weight.read()) for weight in binding.weights}

    def remake(self, layers: Sequence[Layer], weights: Mapping[str, Array]) -> Any:
        """Return a new model of the same dense layers that holds other weights.

        Args:
            layers: The layers.
            weights: Their weights, by the names of a plan.

        """
        return self.make_model(
            [layer.holding({"kernel": weights[f"{layer.name}:kernel"]}) for layer in layers]
        )

    def reference(self, model: Any, layers: Sequence[Layer]) -> dict[str, tuple[Array, str]]:
        """Return the weights that were asked for, as a model of the reference adapter.

        Args:
            model: What `make_model` returned.
            layers: What it was asked for.

        """
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
