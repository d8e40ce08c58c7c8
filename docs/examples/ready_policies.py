"""Write docs/reference/ready-policies.md from the policies that ship with the library.

Run it after a change to one of them; a test compares the page with them:

    python docs/examples/ready_policies.py
"""

from __future__ import annotations

from importlib.resources import files
from itertools import takewhile
from pathlib import Path

import secateur

PAGE = Path(__file__).parents[1] / "reference" / "ready-policies.md"
HEAD = """# Ready policies

Policies that ship with the library.  A name works wherever a policy is taken;
`secateur policies NAME > mine.toml` makes a copy to edit, and `extends = "NAME"` changes a part
of it.  [Choose a policy](../how-to/choose-a-policy.md) says which is for what.

Written by `docs/examples/ready_policies.py` from the files of the package; edit those.
"""


def page() -> str:
    """Return the whole page."""
    folder = files("secateur") / "policy" / "ready"
    found = sorted(file.name for file in folder.iterdir() if file.name.endswith(".toml"))
    sections = [_section(name, (folder / name).read_text("utf-8")) for name in found]
    return "\n".join([HEAD, *sections])


def _section(file: str, text: str) -> str:
    """Return what is said about one policy: its comment as prose, then the rest as a file."""
    name = file.removesuffix(".toml")
    lines = text.splitlines()
    comment = list(takewhile(lambda line: line.startswith("#"), lines))
    words = " ".join(line.removeprefix("#") for line in comment).split()
    about, _, sources = " ".join(words).partition(" Source")
    rest = lines[len(comment) :]
    fingerprint = secateur.Policy.load(name).fingerprint
    parts = [
        f"## {name}",
        about,
        f"Source{sources}",
        f"Fingerprint `{fingerprint[:12]}`.",
        "\n".join(["```toml", *rest, "```"]),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
