"""The sizes of a translation network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """The sizes of a translation network.

    Attributes:
        words: How many words or pieces of words each language has; 0 is beyond the end.
        units: How many units each layer has.
        layers: How many layers the encoder and the decoder have each.

    """

    words: int
    units: int
    layers: int


PUBLISHED = Shape(36_548, 1024, 4)
"""The network of "To prune, or not to prune" (arXiv 1710.01878)."""
SMALL = Shape(2_500, 96, 2)
"""The network that is trained here."""

RULES: list[dict[str, Any]] = [
    {"match": {"name": ["memory*", "query*"]}, "prune": False},
    {"match": {"kind": ["rnn", "embedding", "dense"]}},
]
"""As in the paper: all of the LSTM layers, the embeddings and the output; not the attention."""
