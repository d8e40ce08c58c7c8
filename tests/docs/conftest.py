"""The tests of the docs import the examples beside the pages."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "docs" / "examples"))
