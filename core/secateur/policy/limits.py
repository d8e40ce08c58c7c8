"""How large a policy may be, so that reading one takes no more than a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from secateur.errors import PolicyError, shown
from secateur.policy.origins import Origins

MAX_BYTES = 1 << 20
"""How many bytes a policy file may have."""
MAX_VALUES = 200_000
"""How many values a policy may hold, with everything that a YAML alias repeats."""
MAX_DEPTH = 100
"""How deeply tables and lists of a policy may lie in one another."""
MAX_YAML_NODES = 100_000
"""How many values a YAML file may write out; its parser is the slowest."""
MAX_TEXT = 10_000
"""How many characters one text of a policy may have."""


def too_many_values(name: str, most: int = MAX_VALUES) -> PolicyError:
    """Return the error for a policy with more than `most` values."""
    return PolicyError(f"{name}: more than {most:,} values, which no policy has")


def too_deep(name: str) -> PolicyError:
    """Return the error for a policy that is nested too deeply."""
    return PolicyError(f"{name}: not well formed: nested too deeply (over {MAX_DEPTH} levels)")


def check_table(table: Mapping[str, Any], name: str) -> None:
    """Check the size of a policy's table, and each text and number in it.

    Args:
        table: The table; only mappings, lists, texts and numbers in it are looked at.
        name: What errors call the policy.

    Raises:
        PolicyError: The table is too large or too deep, an integer has over 64 bits, or a text
            is too long or not valid Unicode.

    """
    count = 0
    path: list[Any] = []
    levels = [_items(table)]
    while levels:
        item = next(levels[-1], None)
        if item is None:
            levels.pop()
            del path[-1:]
            continue
        key, value = item
        count += 1
        if count > MAX_VALUES:
            raise too_many_values(name)
        if len(levels) > MAX_DEPTH:
            raise too_deep(name)
        if problem := _problem(key, longest=MAX_BYTES):
            raise PolicyError(f"{Origins(name).location(path)}a key is {problem}")
        if problem := _problem(value):
            raise PolicyError(f"{Origins(name).location([*path, key])}{problem}")
        if isinstance(value, (Mapping, list, tuple)):
            path.append(key)
            levels.append(_items(value))


def _items(value: Mapping[Any, Any] | list[Any] | tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    return iter(value.items() if isinstance(value, Mapping) else enumerate(value))


def _problem(value: Any, longest: int = MAX_TEXT) -> str | None:
    """Return what is wrong with a text or a number, if anything is."""
    if isinstance(value, int) and value.bit_length() >= 64:
        return f"{shown(value)}, which has over 64 bits"
    if isinstance(value, str):
        if len(value) > longest:
            return f"a text of {len(value):,} characters; at most {longest:,}"
        if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
            return f"{shown(value)}, half of a surrogate pair, which is not valid Unicode"
    return None
