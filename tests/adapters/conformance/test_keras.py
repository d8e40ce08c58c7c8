"""The Keras adapter meets the contract, on the backend that KERAS_BACKEND names."""

from __future__ import annotations

import contextlib

with contextlib.suppress(ImportError):
    import torch  # noqa: F401  torch must come before TensorFlow in one process

import keras
import numpy as np
import pytest
from keras import layers as kl

from secateur.testing import LAYERS, AdapterConformance
from secateur_keras.plugin import KerasAdapter

DOUBLE = () if keras.backend.backend() == "jax" else ("float64",)  # off in JAX by default
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)


def convolution(layer):
    weight = layer.weights["kernel"]
    rank = weight.ndim - 2
    spatial_first = np.moveaxis(weight, (0, 1), (-1, -2))
    settings = {"use_bias": False, "name": layer.name}
    if layer.kind == "depthwise":
        multiplier = len(weight) // layer.groups
        cls = getattr(kl, f"DepthwiseConv{rank}D")
        made = cls(weight.shape[2:], depth_multiplier=multiplier, **settings)
        shape = (*weight.shape[2:], layer.groups, multiplier)
        return made, [spatial_first.reshape(shape)]
    if layer.kind == "conv_transpose":
        made = getattr(kl, f"Conv{rank}DTranspose")(len(weight), weight.shape[2:], **settings)
        return made, [spatial_first.swapaxes(-1, -2)]
    cls = getattr(kl, f"Conv{rank}D")
    return cls(len(weight), weight.shape[2:], groups=layer.groups, **settings), [spatial_first]


def recurrent(layer):
    kernel, state = layer.weights["kernel"], layer.weights["recurrent"]
    cls = {"simple_rnn": kl.SimpleRNN, "lstm": kl.LSTM, "gru": kl.GRU}[layer.type]
    made = cls(state.shape[1], return_sequences=True, use_bias=False, name=layer.name)
    if layer.type == "gru":
        kernel, state = kernel[[1, 0, 2]], state[[1, 0, 2]]  # Keras keeps z, r, h
    return made, [w.reshape(-1, w.shape[2]).T for w in (kernel, state)]


def attention(layer):
    made = kl.MultiHeadAttention(layer.heads, 3, use_bias=False, name=layer.name)
    inputs = [layer.weights[role].T.reshape(6, layer.heads, 3) for role in ("query", "key")]
    value = layer.weights["value"].T.reshape(6, layer.heads, 3)
    return made, [*inputs, value, layer.weights["output"].T.reshape(layer.heads, 3, 6)]


def make_layer(layer):
    """Return a layer, and the weights to set once it is built."""
    if layer.type == "other":
        return kl.LayerNormalization(name=layer.name), [np.ones(4), np.zeros(4)]
    if layer.type == "dense":
        units = len(layer.weights["kernel"])
        made = kl.Dense(units, use_bias=False, dtype=layer.dtype, name=layer.name)
        return made, [layer.weights["kernel"].T]
    if layer.type == "embedding":
        weight = layer.weights["embedding"]
        return kl.Embedding(*weight.shape, name=layer.name), [weight]
    if layer.kind == "rnn":
        return recurrent(layer)
    return attention(layer) if layer.kind == "attention" else convolution(layer)


def last(inputs):
    """Move channels from first to last, where there are any."""
    return np.moveaxis(inputs, 1, -1)


class TestKeras(AdapterConformance):
    adapter = KerasAdapter()
    layers = LAYERS
    dtypes = ("float16", "bfloat16", "float32", *DOUBLE)
    clips = has_momentum = True

    @pytest.fixture(autouse=True)
    def _fresh_keras(self):
        keras.utils.clear_session()

    def make_model(self, layers):
        made = {id(layer): make_layer(layer) for layer in layers}
        shape = layers[0].inputs().shape[1:]
        kind = layers[0].kind
        channels_last = "conv" in kind or kind == "depthwise"
        inputs = keras.Input((*shape[1:], shape[0]) if channels_last else shape)
        outputs = inputs
        for layer in layers:
            twice = layer.type == "attention"  # of a sequence to itself
            outputs = made[id(layer)][0](outputs, *[outputs] * twice)
        for layer, weights in made.values():
            layer.set_weights(weights)
        model = keras.Model(inputs, outputs)
        model.compile(keras.optimizers.SGD(0.1, self.momentum), "mse")
        return model

    def run(self, model, inputs):
        if self._convolves(model):
            return np.moveaxis(model.predict(last(inputs), verbose=0), -1, 1)
        return model.predict(inputs, verbose=0)

    def train_step(self, model, inputs, pruner):
        if self._convolves(model):
            inputs = last(inputs)
        wanted = np.ones((len(inputs), *model.output_shape[1:]), "float32")
        callbacks = [] if pruner is None else [pruner.callback()]
        if model.optimizer.clipvalue != self.clip_at:
            model.optimizer.clipvalue, model.train_function = self.clip_at, None
        model.fit(inputs, wanted, batch_size=len(inputs), verbose=0, callbacks=callbacks)

    def save_and_load(self, model, folder):
        model.save(folder / "model.keras")
        return keras.saving.load_model(folder / "model.keras")

    def overwrite(self, model, layers):
        for layer in layers:
            model.get_layer(layer.name).set_weights([layer.weights["kernel"].T])

    def structure(self, model):
        variables = [(v.path, v.shape, v.dtype, v.trainable) for v in model.variables]
        return variables, [(type(layer), layer.name) for layer in model.layers]

    def hooks(self, model):
        return [v.constraint for v in model.variables], "secateur_state" in vars(model)

    def _convolves(self, model):
        return "Conv" in type(model.layers[1]).__name__
