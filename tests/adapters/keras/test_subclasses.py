"""Layers that extend a known class: known by it, unless they compute their weight from it."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import secateur
from secateur_keras.plugin import KerasAdapter

pytestmark = pytest.mark.any_backend
bind = KerasAdapter().bind


def beside(layer, shape):
    """A model of a layer and a dense one."""
    x = keras.Input(shape)
    return keras.Model(x, layers.Dense(2, name="fc")(layers.Flatten()(layer(x))))


def kinds(model):
    return {weight.spec.name: weight.spec.kind for weight in bind(model).weights}


def skipped(model):
    return {one.name: one.reason for one in bind(model).skipped}


def base_of(cls):
    """The class that Keras derives a layer from, and other libraries too."""
    return cls.__bases__[0]


def quantized(base):
    """A layer as those of quantizing libraries: its kernel, rounded, by a property."""

    class Rounded(base):
        @property
        def rounded(self):
            return ops.round(self.kernel * 8) / 8

        def call(self, inputs):
            return self.convolution_op(inputs, self.rounded)

    return Rounded


BASES = {
    "conv": lambda: quantized(base_of(layers.Conv2D))(2, 3, 2, name="it"),
    "conv1d": lambda: base_of(layers.Conv1D)(2, 3, (2, 2), name="it"),
    "conv_transpose": lambda: base_of(layers.Conv2DTranspose)(2, 3, 2, name="it"),
    "depthwise": lambda: base_of(layers.DepthwiseConv2D)(2, 1, 2, name="it"),
    "separable": lambda: base_of(layers.SeparableConv2D)(2, 1, 3, 2, name="it"),
}


@pytest.mark.parametrize("case", BASES)
def test_what_extends_a_base_class_is_known_by_it(case):
    found = kinds(beside(BASES[case](), (6, 6, 4)))
    wanted = {
        "separable": {"it.depthwise:kernel": "depthwise", "it.pointwise:kernel": "conv"},
        "conv1d": {"it:kernel": "conv"},
    }.get(case, {"it:kernel": case})
    assert found == {**wanted, "fc:kernel": "dense"}


def standardized(kernel):
    return (kernel - ops.mean(kernel)) / (ops.std(kernel) + 1e-5)


class InCall(layers.Conv2D):
    def call(self, x):
        return self.convolution_op(x, standardized(self.kernel))


class OfTheVariable(layers.Conv2D):
    def call(self, x):
        return self.convolution_op(x, standardized(self._kernel))


class ByMethod(layers.Conv2D):
    def weight(self):
        return standardized(self.kernel)

    def call(self, x):
        return self.convolution_op(x, self.weight())


class ByMethods(ByMethod):
    def both(self):
        return self.weight() * 2

    def call(self, x):
        return self.convolution_op(x, self.both())


class ByProperty(layers.Conv2D):
    @property
    def weight(self):
        return standardized(self.kernel)

    def call(self, x):
        return self.convolution_op(x, self.weight)


class InConvolution(layers.Conv2D):
    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, standardized(kernel))


class InLambda(layers.Conv2D):
    def call(self, x):
        return (lambda layer: layer.convolution_op(x, standardized(layer.kernel)))(self)


class Below(InCall):
    pass


class MixedIn(ByMethod, layers.Conv2D):
    pass


COMPUTE = [
    *(InCall, OfTheVariable, ByMethod, ByMethods, ByProperty),
    *(InConvolution, InLambda, Below, MixedIn),
]


@pytest.mark.parametrize("cls", COMPUTE)
def test_a_weight_that_is_computed_is_left_dense_with_the_reason(cls):
    model = beside(cls(2, 3, name="it"), (6, 6, 4))
    assert kinds(model) == {"fc:kernel": "dense"}
    (reason,) = (why for name, why in skipped(model).items() if name == "it")
    assert f"{cls.__name__} extends Conv2D" in reason
    assert "secateur_layer_weights" in reason


class Scaled(layers.Dense):
    def call(self, x):
        return super().call(x * 2)


class Extra(layers.Dense):
    def build(self, shape):
        super().build(shape)
        self.gain = self.add_weight(shape=(self.units,), name="gain")
        self.scale = float(np.sqrt(self.kernel.shape[0]))

    def call(self, x):
        return super().call(x / self.scale) * self.gain

    def get_config(self):
        return {**super().get_config(), "shape": tuple(self.kernel.shape)}

    def norm(self):
        return ops.sum(self.kernel**2)


class Renamed(layers.EinsumDense):
    """Only its name differs."""


ORDINARY = {
    "scaled": lambda: Scaled(3, name="it"),
    "extra": lambda: Extra(3, name="it"),
    "renamed": lambda: Renamed("ab,bc->ac", 3, name="it"),
}


@pytest.mark.parametrize("case", ORDINARY)
def test_an_ordinary_subclass_is_pruned(case):
    assert "it:kernel" in kinds(beside(ORDINARY[case](), (4,)))


def test_a_plugin_can_teach_a_layer_that_uses_its_weight_in_call():
    class Plain(layers.Dense):
        def call(self, x):
            return ops.matmul(x, self.kernel)

    class Plugin:
        @secateur.hookimpl
        def secateur_layer_weights(self, adapter, layer):
            if isinstance(layer, Plain):
                layout = secateur.layout.DENSE_IN_OUT
                return [secateur.LayerWeight("kernel", "dense", layout=layout)]
            return None

    model = beside(Plain(3, name="it"), (4,))
    assert "it:kernel" not in kinds(model)
    secateur.register(Plugin(), "plain")
    try:
        assert kinds(model)["it:kernel"] == "dense"
    finally:
        secateur.unregister("plain")
