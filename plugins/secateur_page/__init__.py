"""A page about a recorded run: one HTML file that opens from disk, without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur_page.page import render as render

__all__ = ["render"]


def __getattr__(name: str) -> Any:
    # The plugin is registered with every use of secateur, also where its packages are missing.
    if name != "render":
        raise AttributeError(f"module 'secateur_page' has no attribute {name!r}")
    from secateur_page.page import render

    return render
