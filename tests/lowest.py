"""Print the lowest versions that the metadata allows, as constraints for pip.

python tests/lowest.py EXTRA... > lowest.txt
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(extras: list[str]) -> list[str]:
    """Return ``name==version`` of each dependency that has a lower bound, own extras left out."""
    project = tomllib.loads(PROJECT.read_text())["project"]
    optional = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(need for extra in extras for need in optional[extra])]
    found = (re.match(r"([\w.-]+)>=([\w.]+)", need) for need in wanted)
    return [f"{match[1]}=={match[2]}" for match in found if match]


if __name__ == "__main__":
    print("\n".join(lowest(sys.argv[1:])))
