"""The words that messages share: names listed, values shown, and what was probably meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

MOST_NAMES = 12
"""How many names a message lists at most."""

_OPPOSITES = (
    ({"begin", "start", "initial", "first"}, {"end", "stop", "final", "last"}),
    ({"min", "minimum"}, {"max", "maximum"}),
    ({"in", "input"}, {"out", "output"}),
)
_NEGATIONS = re.compile(r"(un|non[_-]?|dis)(?=.)")


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like another one, if any is.

    A word of the opposite meaning is never returned, however alike it is spelt.

    Args:
        word: What was written.
        known: What could have been meant.

    Example:
        >>> closest("unstructurd", ["unstructured"]), closest("structured", ["unstructured"])
        ('unstructured', None)

    """
    word = word[:80]
    near = difflib.get_close_matches(word, known, n=MOST_NAMES)
    return next((name for name in near if not _is_opposite(word, name)), None)


def _is_opposite(word: str, name: str) -> bool:
    tokens, others = set(word.lower().split("_")), set(name.lower().split("_"))
    for one, other in _OPPOSITES:
        if (tokens & one and others & other) or (tokens & other and others & one):
            return True
    pairs = [(word, _NEGATIONS.sub("", name, count=1)), (_NEGATIONS.sub("", word, count=1), name)]
    as_spelt = _likeness(word, name)
    return any(pair != (word, name) and _likeness(*pair) > as_spelt for pair in pairs)


def _likeness(word: str, name: str) -> float:
    return difflib.SequenceMatcher(None, word.lower(), name.lower()).ratio()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word and lists what exists.

    Args:
        word: What was given.
        known: The words that there are; a dozen of them is listed at most.

    Example:
        >>> nearest("polinomial", ["constant", "polynomial"])
        "did you mean 'polynomial'? There are: constant, polynomial"
        >>> nearest("x", [])
        'there are none'

    """
    names = sorted(known)
    if not names:
        return "there are none"
    close = closest(word, names)
    guess = f"did you mean {shown(close)}? " if close else ""
    return f"{guess}{'T' if guess else 't'}here are: {listed(names)}"


def listed(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """Return names as a list for a message, of bounded length.

    Args:
        names: The names, in the order in which they are listed.
        most: How many of them are listed; the others are counted.

    Example:
        >>> listed(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'

    """
    chosen = list(names)
    text = ", ".join(_printable(name, 80) for name in chosen[:most])
    return text if len(chosen) <= most else f"{text} and {len(chosen) - most:,} more"


def shown(value: object, length: int = 80) -> str:
    """Return a value as it is shown in a message: printable, and never long.

    Args:
        value: Anything, such as a key that a user wrote.
        length: How many characters of it are shown.

    Example:
        >>> shown("a" * 100, length=3), shown(10**5000)
        ("'aaa...'", 'an integer of about 5,000 digits')

    """
    if isinstance(value, str):
        return repr(value if len(value) <= length else f"{value[:length]}...")
    try:
        return _printable(repr(value), length)
    except Exception:  # whatever the class of the value raises
        if isinstance(value, int):
            return f"an integer of about {int(value.bit_length() * 0.30103):,} digits"
        return f"a {type(value).__name__}"


def in_words(error: BaseException, length: int = 1000) -> str:
    """Return an exception's type and message, whatever a third party's class does.

    Args:
        error: The exception.
        length: How many characters of its message are shown.

    Example:
        >>> in_words(OSError("disk full")), in_words(StopIteration())
        ('OSError: disk full', 'StopIteration')

    """
    name = type(error).__name__
    try:
        text = _printable(str(error), length)
    except Exception:  # its own __str__ fails
        return name
    return f"{name}: {text}" if text else name


def _printable(text: str, length: int) -> str:
    short = text if len(text) <= length else f"{text[:length]}..."
    return short.encode(errors="backslashreplace").decode()
