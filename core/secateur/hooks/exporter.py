"""The contract of exporters, which write a pruned model's weights in another form."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from secateur.layout import Array


class Exporter(ABC):
    """Writes the prunable weights of a model, and their masks, to one file."""

    kind: ClassVar[str]

    @abstractmethod
    def export(self, weights: Mapping[str, Array], masks: Mapping[str, Array], path: Path) -> None:
        """Write the file; weights and masks are canonical, a weight may have no mask."""
