"""The translation network of GNMT in PyTorch: one description, the published size and a small one.

The encoder has a layer that reads both ways, then layers that read forwards; the decoder attends
from its first layer, and every layer of it reads what was attended to.  A layer adds its input to
its output where both are as wide (https://github.com/tensorflow/nmt, `gnmt_v2`, begins a layer
later in the decoder; that changes no count).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from translation.shape import Shape


class Translator(nn.Module):
    """A translation network; its layers are named as those of the Keras one."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        units = shape.units
        self.source = nn.Embedding(shape.words, units)
        self.target = nn.Embedding(shape.words, units)
        self.forwards = nn.LSTM(units, units, batch_first=True)
        self.backwards = nn.LSTM(units, units, batch_first=True)
        self.encoder = nn.ModuleList(
            nn.LSTM(units * (2 if n == 0 else 1), units, batch_first=True)
            for n in range(shape.layers - 1)
        )
        self.first = nn.LSTMCell(2 * units, units)
        self.decoder = nn.ModuleList(
            nn.LSTM(2 * units, units, batch_first=True) for _ in range(shape.layers - 1)
        )
        self.memory = nn.Linear(units, units, bias=False)
        self.query = nn.Linear(units, units, bias=False)
        self.vector = nn.Parameter(torch.empty(units).uniform_(-0.1, 0.1))
        self.shift = nn.Parameter(torch.zeros(units))
        self.scale = nn.Parameter(torch.tensor(units**-0.5))
        self.output = nn.Linear(units, shape.words, bias=False)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Return the logits of the next word after each word of the target."""
        memory = self.encode(source)
        return self.decode(memory, source, target, None)[0]

    def encode(self, source: Tensor) -> Tensor:
        """Return what the encoder says of each word; words beyond the end are 0."""
        turned = _turn(source)
        words = self.source(source)
        both = self.forwards(words)[0], _pick(self.backwards(_pick(words, turned))[0], turned)
        found = torch.cat(both, -1)
        for number, layer in enumerate(self.encoder):
            read = layer(found)[0]
            found = read + found if number > 0 else read
        return found

    def decode(
        self, memory: Tensor, source: Tensor, target: Tensor, state: Any
    ) -> tuple[Tensor, Any]:
        """Return the logits after each word of the target, and the state of the decoder."""
        keys, beyond = self.memory(memory), (source == 0)
        words = self.target(target)
        if state is None:
            zeros = words.new_zeros(len(words), words.shape[-1])
            state = ((zeros, zeros), zeros, [None] * len(self.decoder))
        cell, context, others = state
        outputs, contexts = [], []
        for word in words.unbind(1):
            cell = self.first(torch.cat((word, context), -1), cell)
            context = self._attend(keys, memory, beyond, cell[0])
            outputs.append(cell[0])
            contexts.append(context)
        found, attended = torch.stack(outputs, 1), torch.stack(contexts, 1)
        states = []
        for number, layer in enumerate(self.decoder):
            read, last = layer(torch.cat((found, attended), -1), others[number])
            found = read + found
            states.append(last)
        return self.output(found), (cell, context, states)

    def _attend(self, keys: Tensor, memory: Tensor, beyond: Tensor, asked: Tensor) -> Tensor:
        """Return the mean of the memory, weighted by how well each word answers."""
        vector = self.scale * self.vector / self.vector.norm()
        scores = torch.tanh(keys + self.query(asked)[:, None] + self.shift) @ vector
        weights = scores.masked_fill(beyond, -torch.inf).softmax(-1)
        return (weights[:, None] @ memory)[:, 0]


def _turn(source: Tensor) -> Tensor:
    """Return the order that turns each sentence round, and leaves what is beyond its end."""
    places = torch.arange(source.shape[1]).expand_as(source)
    turned = (source > 0).sum(1, keepdim=True) - 1 - places
    return torch.where(turned >= 0, turned, places)


def _pick(values: Tensor, order: Tensor) -> Tensor:
    return values.gather(1, order[..., None].expand_as(values))
