"""A page about a recorded run: one HTML file that opens from disk, without a network."""

from __future__ import annotations

from secateur_page.page import render

__all__ = ["render"]
