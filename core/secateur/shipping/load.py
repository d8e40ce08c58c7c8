"""Reading a packed file, and filling a model with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from secateur.errors import ModelError, listed
from secateur.hooks.dispatch import bind
from secateur.layout import Array
from secateur.packing.reader import PackedFile
from secateur.shipping.matching import MOST_NAMES, Matching


def load_packed(path: str | Path, model: Any = None) -> dict[str, Array]:
    """Return the tensors of a packed file; with a model, fill the model with them.

    A model is filled whole or not at all: biases and statistics of normalization too. A file
    that was packed from another framework fits where the weights do, in canonical layout, and
    where all else has the same names and shapes; the words of each framework for normalization
    are known. What is no tensor, such as an epsilon, is not in the file.

    Args:
        path: The file.
        model: A model that `plan` takes, of the same architecture.

    Returns:
        Each tensor by its name: that of the model which was filled, else that of the file.

    Raises:
        ModelError: The file is damaged, or does not fit the model; nothing is changed then.
        OSError: The file cannot be read.

    Example:
        >>> import numpy as np, secateur, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     packed = secateur.pack({"fc": np.eye(100)}, f"{folder}/eye.packed")
        ...     fresh = {"fc": np.zeros((100, 100))}
        ...     loaded = load_packed(packed.path, fresh)
        >>> np.array_equal(fresh["fc"], np.eye(100)), list(loaded)
        (True, ['fc'])

    """
    packed = PackedFile(Path(path))
    if model is None:
        return read_all(packed)
    binding = bind(model)
    targets = binding.tensors()
    if fixed := [target.name for target in targets if not target.writable]:
        raise ModelError(
            f"{listed(fixed, MOST_NAMES)}: read-only, and nothing was changed; of a mapping, pass "
            "copies of the arrays (array.copy()), and instead of an exported program its module"
        )
    matches = Matching(packed, binding.adapter).all_of(targets)
    values = {match.target.name: match.read(packed) for match in matches}
    for match in matches:
        match.target.write(values[match.target.name])
    return values


def read_all(packed: PackedFile) -> dict[str, Array]:
    """Return every tensor of a packed file, by each of its names."""
    found: dict[str, Array] = {}
    for name, entry in packed.entries.items():
        found |= dict.fromkeys((name, *entry.aliases), packed.read(name))
    return found
