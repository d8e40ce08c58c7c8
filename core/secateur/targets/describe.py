"""What a target takes, in words: each line with its source."""

from __future__ import annotations

from collections.abc import Iterator

from secateur.tables import Lines, Paragraph, Table, View
from secateur.targets.target import Target, Use


def describe(target: Target) -> View:
    """Return what a target takes and what is gained, each line with the number of its source.

    Args:
        target: The target.

    Example:
        >>> from secateur.targets.load import load
        >>> describe(load("torch-2to4"))[2].head
        '2:4: n_m, keep = 2, of = 4; gains latency, size'

    """
    number = {key: place for place, key in enumerate(target.sources, 1)}
    parts: View = (
        Paragraph([f"{target.name}: {target.title}"]),
        Paragraph([target.about]),
        *(Lines(_head(use), list(_lines(use, number))) for use in target.uses),
        Lines("notes:", [f"{note.says} [{number[note.source]}]" for note in target.notes]),
        Lines("sources:", [f"[{number[key]}] {text}" for key, text in target.sources.items()]),
    )
    return [part for part in parts if isinstance(part, Table) or part.lines]


def _head(use: Use) -> str:
    settings = use.pattern.model_dump(by_alias=True, exclude={"pooling"})
    words = ", ".join([use.pattern.kind, *(f"{k} = {v}" for k, v in settings.items())])
    return f"{use.id}: {words}; gains {', '.join(use.gains)}"


def _lines(use: Use, number: dict[str, int]) -> Iterator[str]:
    yield f"{use.says} [{number[use.source]}]"
    yield from (f"{need} [{number[need.source]}]" for need in use.needs)
