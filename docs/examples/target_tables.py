"""Write docs/reference/targets.md: what each target takes, from the data files of the package.

Run it after a change to one of these files; a test compares the page with them:

    python docs/examples/target_tables.py
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[1] / "reference" / "targets.md"
HEAD = """# Targets

What runtimes and hardware do with zeros, in canonical layout `(out, in, *spatial)`, each line with
its source.  `secateur target NAME MODEL` compares a model with one of them, and suggests a policy;
see [the command line](command-line.md) and
[Will it be faster?](../explanation/will-it-be-faster.md).

A file of the same form, with your own board in it, works as well:
`secateur target board.toml MODEL`.  Start from a shipped one,
`core/secateur/targets/data/NAME.toml`.  Everything that a target needs stands in a table of its own
with a `source`; unknown keys, kinds and sources are errors that name the place.

Written by `docs/examples/target_tables.py` from the data files; edit those.
"""
NEEDS = {
    "window": lambda value: "convolutions of 1x1 only",
    "groups": lambda value: "no grouped convolutions",
    "spatial": lambda most: f"convolutions over at most {most} axes",
    "dtypes": lambda value: f"dtypes of the model: {_listed(value)}",
    "kinds": lambda value: f"kinds: {_listed(value)}",
    "multiple": lambda value: f"multiples: {_sizes(value)}",
    "least": lambda value: f"least sizes: {_sizes(value)}",
    "sparsity": lambda value: f"sparsity {_sparsity(value)}",
    "unseen": lambda value: f"not seen from the weights: {value}",
}


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name and the table of each target, sorted."""
    folder = files("secateur") / "targets" / "data"
    for file in sorted(folder.iterdir(), key=lambda each: each.name):
        if file.name.endswith(".toml"):
            yield file.name.removesuffix(".toml"), tomllib.loads(file.read_text("utf-8"))


def page() -> str:
    """Return the whole page."""
    found = list(targets())
    lines = [HEAD, "| target | what is gained, and by which zeros |", "| --- | --- |"]
    for name, table in found:
        uses = "; ".join(
            f"{', '.join(use['gains'])}: {_pattern(use['pattern'])}" for use in table["uses"]
        )
        lines.append(f"| [{name}](#{name}) | {uses} |")
    for name, table in found:
        lines += ["", *_section(name, table)]
    return "\n".join(lines) + "\n"


def _section(name: str, table: dict[str, Any]) -> Iterator[str]:
    number = {key: place for place, key in enumerate(table["sources"], 1)}
    yield f"## {name}"
    yield ""
    yield f"**{table['title']}.** {table['about']}"
    yield ""
    yield "| use | what it needs, and what happens | source |"
    yield "| --- | --- | --- |"
    for use in table["uses"]:
        gains = ", ".join(use["gains"])
        yield f"| **{use['id']}** | gains {gains}: {use['says']} | {number[use['source']]} |"
        yield f"| | pattern: {_pattern(use['pattern'])} | {number[use['source']]} |"
        for need in use.get("needs", ()):
            condition = next(key for key in need if key != "source")
            yield f"| | {NEEDS[condition](need[condition])} | {number[need['source']]} |"
    for note in table.get("notes", ()):
        yield f"| note | {note['says']} | {number[note['source']]} |"
    yield ""
    yield from (f"{number[key]}. {text}" for key, text in table["sources"].items())


def _pattern(table: dict[str, Any]) -> str:
    settings = [f"{key} = {value}" for key, value in table.items() if key != "kind"]
    return f"`{', '.join([table['kind'], *settings])}`"


def _sparsity(table: dict[str, Any]) -> str:
    words = f"above {table['above']}" if "above" in table else f"at least {table['at_least']}"
    return f"{words}, over all eligible weights" if table.get("over_all") else words


def _sizes(table: dict[str, int]) -> str:
    return ", ".join(f"{axis} {size}" for axis, size in table.items())


def _listed(words: list[str]) -> str:
    return ", ".join(words)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
