"""How large a policy may be, so that reading one takes no more than a moment."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from secateur.errors import PolicyError

MAX_BYTES = 1 << 20
"""How many bytes a policy file may have."""
MAX_VALUES = 200_000
"""How many values a policy may hold, with everything that a YAML alias repeats."""
MAX_DEPTH = 100
"""How deeply tables and lists of a policy may lie in one another."""
MAX_TEXT = 10_000
"""How many characters one text of a policy may have."""


def too_many_values(name: str) -> PolicyError:
    """Return the error for a policy with too many values."""
    return PolicyError(f"{name}: more than {MAX_VALUES:,} values, which no policy has")


def too_deep(name: str) -> PolicyError:
    """Return the error for a policy that is nested too deeply."""
    return PolicyError(f"{name}: not well formed: nested too deeply (over {MAX_DEPTH} levels)")


def check_table(table: Mapping[str, Any], name: str) -> None:
    """Check the size of a policy's table, and each text and number in it.

    Args:
        table: The table; what it holds besides mappings, lists, text and numbers is not looked at.
        name: What errors call the policy.

    Raises:
        PolicyError: The table is too large or too deep, an integer has over 64 bits, or a text
            is too long or not valid Unicode.

    """
    count = 0
    levels = [iter([table])]
    while levels:
        value = next(levels[-1], levels)
        if value is levels:
            levels.pop()
            continue
        count += 1
        if count > MAX_VALUES:
            raise too_many_values(name)
        if isinstance(value, (Mapping, list, tuple)):
            if len(levels) > MAX_DEPTH:
                raise too_deep(name)
            levels.append(_inside(value, name))
        elif problem := _problem(value):
            raise PolicyError(f"{name}: {problem}")


def _inside(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...], name: str) -> Iterator[Any]:
    if not isinstance(value, Mapping):
        yield from value
        return
    for key, item in value.items():
        if problem := _problem(key, longest=MAX_BYTES):
            raise PolicyError(f"{name}: a key: {problem}")
        if problem := _problem(item):
            raise PolicyError(f"{name}: {str(key)[:80]}: {problem}")
        yield item


def _problem(value: Any, longest: int = MAX_TEXT) -> str | None:
    """Return what is wrong with a text or a number, if anything is."""
    if isinstance(value, int) and value.bit_length() >= 64:
        digits = int(value.bit_length() * math.log10(2)) + 1
        return f"an integer of about {digits} digits; integers of a policy have less than 64 bits"
    if isinstance(value, str):
        if len(value) > longest:
            return f"a text of {len(value):,} characters; at most {longest:,}"
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            return f"{value!r:.80} holds half of a surrogate pair, which is not valid Unicode"
    return None
