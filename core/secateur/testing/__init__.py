"""Checks that every adapter must pass, as a pytest class for its authors to subclass.

Only this package imports pytest.  How to use it: docs/tutorials/write-an-adapter.md.
"""

from __future__ import annotations

from secateur.testing.kit import AdapterConformance
from secateur.testing.layers import LAYERS, Layer

__all__ = ["LAYERS", "AdapterConformance", "Layer"]
