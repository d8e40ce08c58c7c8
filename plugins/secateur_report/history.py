"""The history of a run: one row for each weight, each time that it has a new mask."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from secateur import hookimpl

if TYPE_CHECKING:
    from secateur import MasksUpdated

HEAD = ("step", "weight", "size", "kept", "sparsity", "target", "policy")


def append(event: MasksUpdated, path: Path) -> None:
    """Add one row for each weight of an event to a CSV file; a new file begins with the head."""
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if not file.tell():
            writer.writerow(HEAD)
        for name, mask in event.masks.items():
            kept = int(np.count_nonzero(mask))
            sparsity = 1 - kept / mask.size if mask.size else 0.0
            target = event.targets[name]
            writer.writerow(
                (event.step, name, mask.size, kept, sparsity, target, event.fingerprint)
            )


class History:
    """An observer that writes the history of every run in this process to one CSV file.

    Args:
        path: The file; rows are added at its end.

    Example:
        >>> import secateur
        >>> secateur.register(History("run.csv"), "history")
        >>> secateur.unregister("history")

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @hookimpl
    def secateur_masks_updated(self, event: MasksUpdated) -> None:
        """Append a row for each new mask; called at each update of the run.

        Args:
            event: The update.

        Raises:
            OSError: The file cannot be written.

        """
        append(event, self.path)
