"""The hooks: the exporters, and a history where the environment names a file for it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from secateur import hookimpl
from secateur_report.history import append
from secateur_report.tables import CsvTable, MarkdownTable

if TYPE_CHECKING:
    from secateur import Exporter, MasksUpdated

HISTORY = "SECATEUR_REPORT"
"""The environment variable that names the file of every run's history."""


@hookimpl
def secateur_exporters() -> list[Exporter]:
    return [CsvTable(), MarkdownTable()]


@hookimpl
def secateur_masks_updated(event: MasksUpdated) -> None:
    if path := os.environ.get(HISTORY):
        append(event, Path(path))
