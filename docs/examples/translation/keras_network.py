"""The translation network of GNMT in Keras: the twin of the one in PyTorch."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops
from translation.shape import Shape


class Translator(keras.Model):
    """A translation network; its layers are named as those of the PyTorch one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(name="translator")
        units = shape.units

        def lstm(name: str) -> Any:
            return layers.LSTM(units, return_sequences=True, name=name)

        self.source = layers.Embedding(shape.words, units, name="source")
        self.target = layers.Embedding(shape.words, units, name="target")
        self.forwards, self.backwards = lstm("forwards"), lstm("backwards")
        self.encoder = [lstm(f"encoder.{n}") for n in range(shape.layers - 1)]
        self.first = layers.LSTMCell(units, name="first")
        self.decoder = [lstm(f"decoder.{n}") for n in range(shape.layers - 1)]
        self.memory = layers.Dense(units, use_bias=False, name="memory")
        self.query = layers.Dense(units, use_bias=False, name="query")
        self.vector = self.add_weight(shape=(units,), name="vector")
        self.shift = self.add_weight(shape=(units,), initializer="zeros", name="shift")
        scale = keras.initializers.Constant(units**-0.5)
        self.scale = self.add_weight(shape=(), initializer=scale, name="scale")
        self.output_words = layers.Dense(shape.words, use_bias=False, name="output")

    def call(self, sentences: tuple[Any, Any]) -> Any:
        """Return the logits of the next word after each word of the target."""
        source, target = sentences
        memory = self.encode(source)
        keys, beyond = self.memory(memory), ops.equal(source, 0)
        words = self.target(target)
        context = ops.zeros_like(words[:, 0])
        state = [context, context]
        outputs, contexts = [], []
        for place in range(words.shape[1]):
            joined = ops.concatenate((words[:, place], context), -1)
            output, state = self.first(joined, state)
            context = self._attend(keys, memory, beyond, output)
            outputs.append(output)
            contexts.append(context)
        found, attended = ops.stack(outputs, 1), ops.stack(contexts, 1)
        for layer in self.decoder:
            found = layer(ops.concatenate((found, attended), -1)) + found
        return self.output_words(found)

    def encode(self, source: Any) -> Any:
        """Return what the encoder says of each word."""
        turned = _turn(source)
        words = self.source(source)
        back = _pick(self.backwards(_pick(words, turned)), turned)
        found = ops.concatenate((self.forwards(words), back), -1)
        for number, layer in enumerate(self.encoder):
            read = layer(found)
            found = read + found if number > 0 else read
        return found

    def _attend(self, keys: Any, memory: Any, beyond: Any, asked: Any) -> Any:
        vector = self.scale * self.vector / ops.norm(self.vector)
        scores = ops.tanh(keys + ops.expand_dims(self.query(asked), 1) + self.shift) * vector
        scores = ops.where(beyond, -1e9, ops.sum(scores, -1))
        return ops.sum(ops.expand_dims(ops.softmax(scores), -1) * memory, 1)


def _turn(source: Any) -> Any:
    """Return the order that turns each sentence round, and leaves what is beyond its end."""
    places = ops.broadcast_to(ops.arange(source.shape[1]), source.shape)
    lengths = ops.sum(ops.cast(source > 0, "int32"), 1, keepdims=True)
    turned = lengths - 1 - places
    return ops.where(turned >= 0, turned, places)


def _pick(values: Any, order: Any) -> Any:
    return ops.take_along_axis(values, ops.expand_dims(order, -1), 1)
