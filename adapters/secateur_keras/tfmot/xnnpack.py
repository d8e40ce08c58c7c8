"""The choice of layers for XNNPACK's sparse inference on phones: 1x1 convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import keras

from secateur.errors import PolicyError
from secateur_keras.tfmot.pruning_policy import PruningPolicy, functional_class

_L = keras.layers
_ANYWHERE = (_L.Add, _L.Multiply, _L.ZeroPadding2D, _L.ReLU, _L.LeakyReLU, _L.ELU, _L.Dropout)
_ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "sigmoid")
_OPERATIONS = ("Add", "Identity", "Multiply", "Subtract")
"""Operations of `keras.ops` on tensors of a functional model."""


class PruneForLatencyOnXNNPack(PruningPolicy):
    """Prunes 1x1 convolutions, in a model that XNNPACK can run sparsely.

    That is one whose inputs lead to a 3x3 convolution of 3 channels, stride 2 and valid padding
    behind `ZeroPadding2D` of 1, whose outputs come from a `GlobalAveragePooling2D`, and which has
    nothing else between these two than what XNNPACK knows in its sparse form.

    Source: Elsen et al. 2020, "Fast sparse ConvNets", arXiv 1911.09723.

    Example:
        >>> policy = PruneForLatencyOnXNNPack()
        >>> policy.allow_pruning(_L.Conv2D(8, 1)), policy.allow_pruning(_L.Conv2D(8, 3))
        (True, False)

    """

    def allow_pruning(self, layer: Any) -> bool:
        """Return whether a layer is a 1x1 convolution.

        Args:
            layer: A layer of the model.

        """
        return isinstance(layer, _L.Conv2D) and tuple(layer.kernel_size) == (1, 1)

    def ensure_model_supports_pruning(self, model: Any) -> None:
        """Check that XNNPACK can run the model sparsely.

        Args:
            model: The model.

        Raises:
            PolicyError: It cannot; a ValueError.

        """
        if not isinstance(model, (keras.Sequential, functional_class())):
            raise PolicyError(
                f"{model.name}: a subclassed model has no graph to be checked for XNNPACK; make it "
                "a functional one"
            )
        if not model.built:
            raise PolicyError(f"{model.name} is not built: start it with keras.Input(shape)")
        graph = _Graph(model)
        first = graph.search(graph.inputs, graph.is_first, graph.consumers)
        if not first:
            raise PolicyError(
                "Could not find, in all input branches, a `Conv2D` of 3x3 over 3 channels with "
                "strides (2, 2) and valid padding behind a `ZeroPadding2D` of 1"
            )
        last = graph.search(graph.outputs, _is_pooling, graph.producers)
        if not last:
            raise PolicyError("Could not find a `GlobalAveragePooling2D` in all output branches")
        self._check_between(graph, first, last)

    def _check_between(self, graph: _Graph, first: list[Any], last: list[Any]) -> None:
        ends = {id(layer) for layer in last}

        def is_end(layer: Any) -> bool:
            if id(layer) not in ends and not graph.is_supported(layer):
                raise PolicyError(
                    f"{layer.name}: a {type(layer).__name__} such as this is not supported by "
                    f"{type(self).__name__}"
                )
            return id(layer) in ends

        start = [after for layer in first for after in graph.consumers(layer)]
        graph.search(start, is_end, graph.consumers)


def _is_pooling(layer: Any) -> bool:
    return isinstance(layer, _L.GlobalAveragePooling2D)


class _Graph:
    """What leads to what in a model, those within it opened.

    Args:
        model: A built Sequential or functional model.

    """

    def __init__(self, model: Any) -> None:
        self._before: dict[int, list[Any]] = {}
        self._after: dict[int, list[Any]] = {}
        self.inputs, self.outputs = self._read(model)

    def _read(self, model: Any) -> tuple[list[Any], list[Any]]:
        """Take in a model; return the layers that it begins with, and those that it ends with."""
        graph = model._functional if isinstance(model, keras.Sequential) else model
        borders: dict[int, tuple[list[Any], list[Any]]] = {}
        for layer in graph.operations:
            is_model = isinstance(layer, keras.Model) and hasattr(layer, "operations")
            inner = isinstance(layer, keras.Sequential) or is_model
            borders[id(layer)] = self._read(layer) if inner else ([layer], [layer])
        for layer, before in _edges(graph):
            for producer in borders[id(before)][1]:
                for consumer in borders[id(layer)][0]:
                    self._before.setdefault(id(consumer), []).append(producer)
                    self._after.setdefault(id(producer), []).append(consumer)
        ends = [
            [
                each
                for tensor in tensors
                for each in borders[id(tensor._keras_history.operation)][at]
            ]
            for at, tensors in enumerate((graph.inputs, graph.outputs))
        ]
        return ends[0], ends[1]

    def producers(self, layer: Any) -> list[Any]:
        """Return what leads to a layer."""
        return self._before.get(id(layer), [])

    def consumers(self, layer: Any) -> list[Any]:
        """Return what a layer leads to."""
        return self._after.get(id(layer), [])

    def search(
        self,
        start: Iterable[Any],
        is_found: Callable[[Any], bool],
        following: Callable[[Any], list[Any]],
    ) -> list[Any]:
        """Return the layers that are found first on every way; none if a way ends without."""
        todo = list(start)
        seen = {id(layer) for layer in todo}
        found = []
        while todo:
            layer = todo.pop()
            if is_found(layer):
                found.append(layer)
                continue
            after = following(layer)
            if not after:
                return []
            new = [each for each in after if id(each) not in seen]
            seen |= {id(each) for each in new}
            todo += new
        return found

    def is_first(self, layer: Any) -> bool:
        """Return whether a sparse part begins with a layer."""
        return (
            isinstance(layer, _L.Conv2D)
            and tuple(layer.kernel.shape[:3]) == (3, 3, 3)
            and tuple(layer.strides) == (2, 2)
            and layer.padding == "valid"
            and self._padding_before(layer) == 1
        )

    def is_supported(self, layer: Any) -> bool:
        """Return whether XNNPACK has a sparse form of a layer."""
        if isinstance(layer, _ANYWHERE):
            return True
        if isinstance(layer, _L.DepthwiseConv2D):
            return self._is_supported_depthwise(layer)
        if isinstance(layer, _L.Conv2D):
            single = (layer.kernel_size, layer.strides, layer.dilation_rate)
            return layer.groups == 1 and all(tuple(each) == (1, 1) for each in single)
        if isinstance(layer, _L.GlobalAveragePooling2D):
            return bool(layer.keepdims)
        if isinstance(layer, _L.BatchNormalization):
            return layer.axis in (3, -1)
        if isinstance(layer, _L.UpSampling2D):
            return str(layer.interpolation) == "bilinear"
        if isinstance(layer, _L.Activation):
            return keras.activations.serialize(layer.activation) in _ACTIVATIONS
        return not isinstance(layer, _L.Layer) and type(layer).__name__ in _OPERATIONS

    def _is_supported_depthwise(self, layer: Any) -> bool:
        size, strides = tuple(layer.kernel_size), tuple(layer.strides)
        if layer.depth_multiplier != 1 or tuple(layer.dilation_rate) != (1, 1):
            return False
        if size not in ((3, 3), (5, 5)):
            return False
        if layer.padding == "same":
            return strides == (1, 1)
        return strides in ((1, 1), (2, 2)) and self._padding_before(layer) == size[0] // 2

    def _padding_before(self, layer: Any) -> int | None:
        """Return the equal padding on all sides of a `ZeroPadding2D` just before a layer."""
        before = self.producers(layer)
        if len(before) != 1 or not isinstance(before[0], _L.ZeroPadding2D):
            return None
        sides = {side for pair in before[0].padding for side in pair}
        return sides.pop() if len(sides) == 1 else None


def _edges(graph: Any) -> list[tuple[Any, Any]]:
    """Return each operation of a graph with what it is computed from, within that graph."""
    return [
        (node.operation, parent.operation)
        for nodes in graph._nodes_by_depth.values()
        for node in nodes
        for parent in node.parent_nodes
    ]
