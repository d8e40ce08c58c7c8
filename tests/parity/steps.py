"""The vocabulary of twins: one small description of a network for both frameworks.

Activations are channels-last everywhere.  Each step with weights knows their canonical
shapes and, written out plainly and apart from the adapters, how each framework stores them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Step:
    """A step without weights, unless a subclass says so."""

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical shape of each weight, by role, in the order of the plan."""
        return {}


@dataclass(frozen=True)
class Relu(Step):
    pass


@dataclass(frozen=True)
class Pool(Step):
    """2-D max pooling by 2."""


@dataclass(frozen=True)
class Flatten(Step):
    pass


@dataclass(frozen=True)
class Mean(Step):
    """The mean over all axes but the first and the last."""


@dataclass(frozen=True)
class Residual(Step):
    """The input plus what the steps make of it."""

    steps: tuple[Step, ...]


@dataclass(frozen=True)
class Branch(Step):
    """The sum of what several paths make of the input."""

    paths: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True)
class Layer(Step):
    """A step with weights; its name is the layer's in both frameworks."""

    kind: ClassVar[str]
    name: str

    def weight_name(self, role: str) -> str:
        """Return the name that secateur gives the weight, in both frameworks."""
        *part, role = role.split(".")
        return f"{'.'.join((self.name, *part))}:{role}"


@dataclass(frozen=True)
class Dense(Layer):
    kind = "dense"
    inputs: int
    outputs: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": (self.outputs, self.inputs)}

    def keras_layer(self, layers: Any) -> Any:
        return layers.Dense(self.outputs, name=self.name)

    def torch_module(self, nn: Any) -> Any:
        return nn.Linear(self.inputs, self.outputs)

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        return [weights["kernel"].T, bias]

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        return {"weight": weights["kernel"], "bias": bias}


@dataclass(frozen=True)
class Conv(Layer):
    kind = "conv"
    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    stride: int = 1
    padding: str = "valid"
    groups: int = 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": (self.outputs, self.inputs // self.groups, *self.kernel)}

    def keras_layer(self, layers: Any) -> Any:
        cls = getattr(layers, f"Conv{len(self.kernel)}D")
        return cls(
            self.outputs,
            self.kernel,
            strides=self.stride,
            padding=self.padding,
            groups=self.groups,
            name=self.name,
        )

    def torch_module(self, nn: Any) -> Any:
        cls = getattr(nn, f"Conv{len(self.kernel)}d")
        return cls(
            self.inputs,
            self.outputs,
            self.kernel,
            stride=self.stride,
            padding=self.padding,
            groups=self.groups,
        )

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        return [np.moveaxis(weights["kernel"], (0, 1), (-1, -2)), bias]

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        return {"weight": weights["kernel"], "bias": bias}


@dataclass(frozen=True)
class ConvTranspose(Layer):
    kind = "conv_transpose"
    inputs: int
    outputs: int
    kernel: tuple[int, ...]
    stride: int = 1

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": (self.outputs, self.inputs, *self.kernel)}

    def keras_layer(self, layers: Any) -> Any:
        cls = getattr(layers, f"Conv{len(self.kernel)}DTranspose")
        return cls(self.outputs, self.kernel, strides=self.stride, name=self.name)

    def torch_module(self, nn: Any) -> Any:
        cls = getattr(nn, f"ConvTranspose{len(self.kernel)}d")
        return cls(self.inputs, self.outputs, self.kernel, stride=self.stride)

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        return [np.moveaxis(weights["kernel"], (0, 1), (-2, -1)), bias]

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        return {"weight": weights["kernel"].swapaxes(0, 1), "bias": bias}


@dataclass(frozen=True)
class Depthwise(Layer):
    kind = "depthwise"
    channels: int
    multiplier: int
    kernel: tuple[int, ...]

    @property
    def outputs(self) -> int:
        return self.channels * self.multiplier

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"kernel": (self.outputs, 1, *self.kernel)}

    def keras_layer(self, layers: Any) -> Any:
        cls = getattr(layers, f"DepthwiseConv{len(self.kernel)}D")
        return cls(self.kernel, depth_multiplier=self.multiplier, name=self.name)

    def torch_module(self, nn: Any) -> Any:
        cls = getattr(nn, f"Conv{len(self.kernel)}d")
        return cls(self.channels, self.outputs, self.kernel, groups=self.channels)

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        apart = weights["kernel"].reshape(self.channels, self.multiplier, *self.kernel)
        return [np.moveaxis(apart, (0, 1), (-2, -1)), bias]

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        return {"weight": weights["kernel"], "bias": bias}


@dataclass(frozen=True)
class Embedding(Layer):
    kind = "embedding"
    rows: int
    features: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {"embedding": (self.rows, self.features)}

    def keras_layer(self, layers: Any) -> Any:
        return layers.Embedding(self.rows, self.features, name=self.name)

    def torch_module(self, nn: Any) -> Any:
        return nn.Embedding(self.rows, self.features)

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        return [weights["embedding"]]

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        return {"weight": weights["embedding"]}


GATES = {"SimpleRNN": 1, "LSTM": 4, "GRU": 3}
# Where gate i of the canonical order (r, z, n) stands in a Keras GRU, which has z, r, h.
KERAS_ORDER = {"SimpleRNN": [0], "LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2]}


@dataclass(frozen=True)
class Recurrent(Layer):
    kind = "rnn"
    cell: str
    inputs: int
    hidden: int
    bidirectional: bool = False

    def shapes(self) -> dict[str, tuple[int, ...]]:
        gates = GATES[self.cell]
        found = {}
        for part in ("forward.", "backward.") if self.bidirectional else ("",):
            found[f"{part}kernel"] = (gates, self.hidden, self.inputs)
            found[f"{part}recurrent"] = (gates, self.hidden, self.hidden)
        return found

    def keras_layer(self, layers: Any) -> Any:
        options = {"return_sequences": True, "use_bias": False}
        if not self.bidirectional:
            return getattr(layers, self.cell)(self.hidden, name=self.name, **options)
        inner = getattr(layers, self.cell)(self.hidden, **options)
        return layers.Bidirectional(inner, name=self.name)

    def torch_module(self, nn: Any) -> Any:
        cls = getattr(nn, self.cell.removeprefix("Simple"))
        return cls(
            self.inputs,
            self.hidden,
            batch_first=True,
            bias=False,
            bidirectional=self.bidirectional,
        )

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        stored = []
        for role in self.shapes():
            gated = weights[role][np.argsort(KERAS_ORDER[self.cell])]
            stored.append(np.concatenate([gate.T for gate in gated], axis=1))
        return stored

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        names = {"kernel": "weight_ih_l0", "recurrent": "weight_hh_l0"}
        return {
            names[role.rpartition(".")[2]]
            + ("_reverse" if role.startswith("backward") else ""): value.reshape(-1, value.shape[2])
            for role, value in weights.items()
        }


@dataclass(frozen=True)
class Attention(Layer):
    """Self-attention."""

    kind = "attention"
    heads: int
    width: int

    def shapes(self) -> dict[str, tuple[int, ...]]:
        square = (self.width, self.width)
        return dict.fromkeys(("query", "key", "value", "output"), square)

    def keras_layer(self, layers: Any) -> Any:
        return layers.MultiHeadAttention(
            self.heads, self.width // self.heads, use_bias=False, name=self.name
        )

    def torch_module(self, nn: Any) -> Any:
        return nn.MultiheadAttention(self.width, self.heads, bias=False, batch_first=True)

    def to_keras(self, weights: dict[str, Array], bias: Array) -> list[Array]:
        split = (self.width, self.heads, self.width // self.heads)
        inputs = [weights[role].T.reshape(split) for role in ("query", "key", "value")]
        return [*inputs, weights["output"].T.reshape(*split[1:], self.width)]

    def to_torch(self, weights: dict[str, Array], bias: Array) -> dict[str, Array]:
        packed = np.concatenate([weights[role] for role in ("query", "key", "value")])
        return {"in_proj_weight": packed, "out_proj.weight": weights["output"]}
