"""What is wrong with a policy, in words: the file, the rule, the key, the value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from secateur.errors import PolicyError


def explain(error: ValidationError, source: str) -> PolicyError:
    """Return the PolicyError that tells everything a ValidationError holds."""
    lines = list(dict.fromkeys(_lines(error, ())))
    return PolicyError("\n".join(f"{source}: {line}" for line in lines))


def _lines(error: ValidationError, above: tuple[Any, ...]) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        where = above + detail["loc"]
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from _lines(cause, where)
        elif isinstance(cause, Exception):
            yield f"{_place(where)}{cause}"
        else:
            yield f"{_place(where)}{_value(detail)}{_lower(detail['msg'])}"


def _place(where: tuple[Any, ...]) -> str:
    """Return ``rule 2, pattern.pooling: `` for ``("rules", 1, "pattern", "pooling")``."""
    words = list(where)
    rule = ""
    if len(words) > 1 and words[0] == "rules" and isinstance(words[1], int):
        rule, words = f"rule {words[1] + 1}", words[2:]
    path = ""
    for word in words:
        path += f"[{word}]" if isinstance(word, int) else f".{word}" if path else str(word)
    place = ", ".join(part for part in (rule, path) if part)
    return f"{place}: " if place else ""


def _value(detail: Any) -> str:
    given = detail["input"]
    return f"{given!r}: " if isinstance(given, (str, int, float, bool)) else ""


def _lower(message: str) -> str:
    return message[:1].lower() + message[1:]
