"""The Flax NNX adapter meets the contract."""

from __future__ import annotations

import copy

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from secateur.testing import LAYERS, AdapterConformance
from secateur_flax.plugin import FlaxAdapter


class Recurrent(nnx.RNN):
    """Every state; the cell's own name does not show."""


class ToItself(nnx.MultiHeadAttention):
    def __call__(self, x):
        return super().__call__(x, decode=False)


def set_(variable, array):
    assert variable.shape == array.shape
    variable.set_value(jnp.array(array, variable.dtype))


def convolution(layer, rngs):
    weight = layer.weights["kernel"]
    inputs, outputs, size = weight.shape[1] * layer.groups, weight.shape[0], weight.shape[2:]
    settings = {"use_bias": False, "padding": "VALID", "rngs": rngs}
    spatial_first = np.moveaxis(weight, (0, 1), (-1, -2))
    if layer.kind == "conv_transpose":
        made = nnx.ConvTranspose(inputs, outputs, size, **settings)
        set_(made.kernel, np.flip(spatial_first, range(len(size))))
    else:
        made = nnx.Conv(inputs, outputs, size, feature_group_count=layer.groups, **settings)
        set_(made.kernel, spatial_first)
    return made


def recurrent(layer, rngs):
    kernel, state = layer.weights["kernel"], layer.weights["recurrent"]
    cls = {"simple_rnn": nnx.SimpleCell, "lstm": nnx.OptimizedLSTMCell, "gru": nnx.GRUCell}
    cell = cls[layer.type](kernel.shape[2], state.shape[1], rngs=rngs)
    set_(cell.dense_i.kernel, kernel.reshape(-1, kernel.shape[2]).T)
    set_(cell.dense_h.kernel, state.reshape(-1, state.shape[2]).T)
    return Recurrent(cell, rngs=rngs)


def lstm_in_parts(layer, rngs):
    kernel, state = layer.weights["kernel"], layer.weights["recurrent"]
    cell = nnx.LSTMCell(kernel.shape[2], state.shape[1], rngs=rngs)
    for gate, name in enumerate("ifgo"):
        set_(getattr(cell, "if_" if name == "f" else f"i{name}").kernel, kernel[gate].T)
        set_(getattr(cell, f"h{name}").kernel, state[gate].T)
    return Recurrent(cell, rngs=rngs)


def attention(layer, rngs):
    made = ToItself(layer.heads, 6, use_bias=False, rngs=rngs)
    for role in ("query", "key", "value"):
        set_(getattr(made, role).kernel, layer.weights[role].T.reshape(6, layer.heads, 3))
    set_(made.out.kernel, layer.weights["output"].T.reshape(layer.heads, 3, 6))
    return made


class Chain(nnx.Module):
    """Layers by name, applied in turn."""

    def __init__(self, layers):
        for name, layer in layers:
            setattr(self, name, layer)
        self.order = tuple(name for name, _ in layers)

    def __call__(self, x):
        for name in self.order:
            x = getattr(self, name)(x)
        return x


def step(model, x):
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    gradients = nnx.grad(lambda model: jnp.square(model(x) - 1).mean())(model)
    optimizer.update(model, gradients)
    return gradients


compiled_step = nnx.jit(step)


class TestFlax(AdapterConformance):
    adapter = FlaxAdapter()
    layers = LAYERS
    dtypes = ("float16", "bfloat16", "float32")

    def make_layer(self, layer):
        rngs = nnx.Rngs(0)
        if layer.type == "other":
            return nnx.LayerNorm(4, rngs=rngs)
        if layer.type == "dense":
            weight = layer.weights["kernel"]
            settings = {"use_bias": False, "param_dtype": layer.dtype, "rngs": rngs}
            made = nnx.Linear(*weight.shape[::-1], **settings)
            set_(made.kernel, weight.T)
            return made
        if layer.type == "embedding":
            made = nnx.Embed(*layer.weights["embedding"].shape, rngs=rngs)
            set_(made.embedding, layer.weights["embedding"])
            return made
        if layer.kind == "rnn":
            return recurrent(layer, rngs)
        return attention(layer, rngs) if layer.kind == "attention" else convolution(layer, rngs)

    def make_model(self, layers):
        made = {id(layer): self.make_layer(layer) for layer in layers}
        names = [
            f"{layer.name}_again" if layer in layers[:place] else layer.name
            for place, layer in enumerate(layers)
        ]
        return Chain([(n, made[id(layer)]) for n, layer in zip(names, layers, strict=True)])

    def run(self, model, inputs):
        channels_last = inputs.ndim > 3 or isinstance(model.first, nnx.Conv | nnx.ConvTranspose)
        if channels_last:
            return np.moveaxis(model(jnp.array(np.moveaxis(inputs, 1, -1))), -1, 1)
        return np.asarray(model(jnp.array(inputs)))

    def train_step(self, model, inputs, pruner):
        if isinstance(model.first, nnx.Conv | nnx.ConvTranspose):
            inputs = np.moveaxis(inputs, 1, -1)
        gradients = compiled_step(model, jnp.array(inputs))
        if pruner is not None:
            pruner.step(gradients=gradients)

    def save_and_load(self, model, folder):
        _, state = nnx.split(model)
        paths = {".".join(map(str, path)): leaf for path, leaf in nnx.to_flat_state(state)}
        np.savez(folder / "model.npz", **{k: leaf.get_value() for k, leaf in paths.items()})
        loaded = copy.deepcopy(model)
        with np.load(folder / "model.npz") as arrays:
            for path, leaf in nnx.to_flat_state(nnx.state(loaded)):
                leaf.set_value(jnp.array(arrays[".".join(map(str, path))]))
                attribute = loaded
                for part in path:
                    attribute = getattr(attribute, part)
                attribute.set_value(leaf.get_value())
        return loaded

    def overwrite(self, model, layers):
        for layer in layers:
            set_(getattr(model, layer.name).kernel, layer.weights["kernel"].T)

    def replace_layer(self, model, layer):
        setattr(model, layer.name, self.make_layer(layer))

    def structure(self, model):
        graph, state = nnx.split(model)
        leaves = [(path, leaf.shape, leaf.dtype) for path, leaf in nnx.to_flat_state(state)]
        return graph, leaves, [sorted(vars(module)) for _, module in nnx.iter_modules(model)]


class TestFlaxLSTMInParts(TestFlax):
    """`nnx.LSTMCell` keeps every gate in a parameter of its own."""

    layers = ("lstm",)

    def make_layer(self, layer):
        return (
            lstm_in_parts(layer, nnx.Rngs(0)) if layer.type == "lstm" else super().make_layer(layer)
        )


class TestFlaxFlippedKernel(TestFlax):
    """``transpose_kernel=True``: the other way in which `nnx.ConvTranspose` keeps its kernel."""

    layers = ("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")

    def make_layer(self, layer):
        if not layer.type.startswith("conv_transpose"):
            return super().make_layer(layer)
        weight = layer.weights["kernel"]
        made = nnx.ConvTranspose(
            weight.shape[1],
            weight.shape[0],
            weight.shape[2:],
            use_bias=False,
            padding="VALID",
            transpose_kernel=True,
            rngs=nnx.Rngs(0),
        )
        set_(made.kernel, np.moveaxis(weight, (0, 1), (-2, -1)))
        return made
