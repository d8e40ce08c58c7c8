"""The text of one cell: what can be shown of it, how wide it is, how it is shortened."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

_GAP = "..."
_SPLITS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.2, 0.8, 0.1, 0.9, 0.0, 1.0)
"""How much of what is left of a name may stand before the gap; the first that tells most apart."""


def format_sparsity(value: float) -> str:
    """Return a sparsity for people: a fraction from 0 to 1, never per cent.

    >>> format_sparsity(0.9)
    '0.9000'
    """
    return f"{value:.4f}"


def stay_line(kept: int, size: int, at_most: bool = False, about: bool = False) -> str:
    """Return the line that plans and reports end with.

    >>> stay_line(400, 2000)
    '400 of 2,000 weights stay'
    >>> stay_line(2000, 2000, at_most=True)
    'at most 2,000 of 2,000 weights stay'
    """
    return (
        f"{'at most ' if at_most else 'about ' if about else ''}{kept:,} of {size:,} weights stay"
    )


def printable(text: str, most: int) -> str:
    r"""Return one line of a text that a terminal can show, shortened in its middle.

    Names in files may hold anything: control characters, which a terminal would obey, halves of
    surrogate pairs, which cannot be encoded, and megabytes.

    >>> printable("fc\x1b[31m:kernel", 40), printable("a" * 50, 20)
    ('fc\\x1b[31m:kernel', 'aaaaaaaa ... aaaaaaa')
    """
    if len(text) > most:
        kept = most - len(" ... ")
        text = f"{text[: kept - kept // 2]} ... {text[len(text) - kept // 2 :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def width_of(text: str) -> int:
    """Return how many columns of a terminal a printable text takes.

    >>> width_of("kernel"), width_of("核")
    (6, 2)
    """
    if text.isascii():
        return len(text)
    return sum(map(_width_of_character, text))


def _width_of_character(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int, right: bool = False) -> str:
    """Return a text with spaces up to a width, after it or, set to the right, before it."""
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def shortened(names: Sequence[str], width: int) -> list[str]:
    """Return names that fit a width, the long ones without a part of their middle.

    The gap is put where it leaves the most names different from one another.

    >>> shortened(["model.layers.10.q_proj:kernel", "model.layers.11.q_proj:kernel"], 12)
    ['mode...ernel', 'mode...ernel']
    >>> shortened(["model.layers.10.q_proj:kernel", "model.layers.11.q_proj:kernel"], 22)
    ['mod...10.q_proj:kernel', 'mod...11.q_proj:kernel']
    """
    if all(width_of(name) <= width for name in names):
        return list(names)
    tries = [[_without_middle(name, width, share) for name in names] for share in _SPLITS]
    return max(tries, key=lambda tried: len(set(tried)))


def _without_middle(name: str, width: int, share: float) -> str:
    if width_of(name) <= width:
        return name
    room = max(0, width - len(_GAP))
    head = _beginning(name, int(room * share))
    tail = _beginning(name[::-1], room - width_of(head))[::-1]
    return f"{head}{_GAP}{tail}"[: max(width, 1)]


def _beginning(text: str, width: int) -> str:
    """Return as much of a text, from its start, as fits a width."""
    taken = 0
    for number, character in enumerate(text):
        taken += _width_of_character(character)
        if taken > width:
            return text[:number]
    return text
