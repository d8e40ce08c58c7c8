"""The contract of exporters, which write a pruned model's weights in another form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from secateur.layout import Array


class Exporter(ABC):
    """Writes the prunable weights of a model, and their masks, to one file.

    Attributes:
        kind: The name by which `secateur.export` finds it.

    Example:
        >>> class Names(Exporter):
        ...     kind = "names"
        ...
        ...     def export(self, weights, masks, path):
        ...         path.write_text(" ".join(weights))
        >>> Names().kind
        'names'

    """

    kind: ClassVar[str]

    @abstractmethod
    def export(self, weights: Mapping[str, Array], masks: Mapping[str, Array], path: Path) -> None:
        """Write the file.

        Args:
            weights: The values of every prunable weight by name, in canonical layout.
            masks: The masks by name, canonical, True = kept; a weight may have none.
            path: Where to write; `secateur.write_atomically` leaves no half-written file there.

        """
