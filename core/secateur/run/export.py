"""Writing a model's weights in another form, by an exporter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.hooks.at_work import write_export
from secateur.hooks.dispatch import bind
from secateur.layout import Array


def export(
    model: Any, path: str | Path, kind: str, *, masks: Mapping[str, Array] | None = None
) -> None:
    """Write a model's prunable weights in another form, by the exporter of that kind.

    Args:
        model: A model that `secateur.plan` takes.
        path: The file to write.
        kind: The name of an exporter. The package brings "csv" and "markdown", one row for each
            weight; plugins add others.
        masks: Which elements count as kept, such as ``report.masks``. Without them, those that
            are not zero.

    Raises:
        PluginError: There is no exporter of that kind, or it failed.
        ModelError: The model cannot be bound.

    Example:
        >>> import numpy as np, tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export({"fc": np.eye(2)}, f"{folder}/weights.md", "markdown")
        ...     print(Path(folder, "weights.md").read_text().splitlines()[2])
        | fc | 2x2 | 4 | 2 | 0.5000 |

    """
    weights = {weight.spec.name: weight.read() for weight in bind(model).weights}
    if masks is None:
        masks = {name: values != 0 for name, values in weights.items()}
    write_export(kind, weights, masks, Path(path))
