"""The toy adapter of docs/how-to/write-an-adapter.md meets the contract."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

from toy_suite import ToyConformance


class TestToy(ToyConformance):
    pass
