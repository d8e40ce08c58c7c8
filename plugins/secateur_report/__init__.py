"""Reports of pruning as CSV and Markdown: exporters of a model, and a history of a run."""

from __future__ import annotations

from secateur_report.history import History
from secateur_report.tables import CsvTable, MarkdownTable

__all__ = ["CsvTable", "History", "MarkdownTable"]
