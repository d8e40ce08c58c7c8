"""Run the Python of a page from top to bottom, in a folder.  Argument: the folder."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

if __name__ == "__main__":
    os.chdir(sys.argv[1])
    names = {"__name__": "__main__"}  # the blocks of a page share their names
    for number, code in enumerate(json.loads(Path("blocks.json").read_text()), 1):
        print(f"block {number}", file=sys.stderr)
        exec(compile(code, f"block {number}", "exec", dont_inherit=True), names)  # noqa: S102
