"""How large a model, or the file of one, is."""

from __future__ import annotations

from typing import Any

from secateur.checkpoints.infer_kinds import Kinds
from secateur.packing.sizes import Sizes, measure
from secateur.shipping.sources import open_source


def sizes(model: Any, kinds: Kinds = ()) -> Sizes:
    """Return how large a model is: raw, gzip, zstd, xz, and the entropy of masks and values.

    Every figure is measured: weight by weight, and in all. Compressing 10 MB takes some seconds.

    Args:
        model: A model that `plan` takes, or the path of a model's file.
        kinds: Pairs of a glob and a kind, for tensors of a file whose names do not tell it.

    Returns:
        The figures; they print as a table. Of a file, all is the file as it is; of a
        folder of shards, the sum of its tensors.

    Raises:
        ModelError: The model cannot be read.
        OSError: The file cannot be read.

    Example:
        >>> import numpy as np
        >>> found = sizes({"fc": np.zeros((100, 100))})
        >>> found.raw, found.entropy, found.xz < 200
        (80000, 0, True)

    """
    source = open_source(model, kinds)
    path = source.path
    content = path.read_bytes() if path is not None and path.is_file() else None
    return measure(source.tensors, content, source.notes)
