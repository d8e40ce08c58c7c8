"""What is wrong with a policy, in words: the file, the rule, the key, the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from secateur.errors import PolicyError, closest, shown
from secateur.policy.files import Merged

_IN_WORDS = {
    "tuple_type": "input should be a list",
    "dict_type": "input should be a table",
    "model_type": "input should be a table",
    "model_attributes_type": "input should be a table",
}
"""Messages of pydantic that speak of Python, for people who write TOML."""


def explain(error: ValidationError, merged: Merged) -> PolicyError:
    """Return the PolicyError that tells everything a ValidationError holds, line by line."""
    return PolicyError("\n".join(dict.fromkeys(_lines(error, (), merged))))


def located(error: ValueError, where: tuple[int | str, ...]) -> ValidationError:
    """Return the same error, said of one place in the policy."""
    cause = PydanticCustomError("rule", "{why}", {"why": str(error)})
    return ValidationError.from_exception_data(
        "Policy", [InitErrorDetails(type=cause, loc=where, input=None)]
    )


def _lines(error: ValidationError, above: tuple[Any, ...], merged: Merged) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        where = above + detail["loc"]
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from _lines(cause, where, merged)
        elif isinstance(cause, Exception):
            yield f"{_place(where, merged)}{cause}"
        else:
            yield f"{_place(where, merged)}{_value(detail)}{_message(detail)}"


def _place(where: tuple[Any, ...], merged: Merged) -> str:
    """Return ``policy.toml: rule 2, pattern.pooling: `` for ``("rules", 1, "pattern", ...)``."""
    words = list(where)
    file = merged.keys.get(words[0], "") if words else ""
    rule = ""
    if len(words) > 1 and words[0] == "rules" and isinstance(words[1], int):
        file, number = merged.rules[words[1]]
        rule, words = f"rule {number}", words[2:]
    path = ""
    for word in words:
        path += f"[{word}]" if isinstance(word, int) else f".{word}" if path else str(word)
    place = ", ".join(part for part in (rule, path[:200]) if part)
    return f"{file or merged.name}: {place}: " if place else f"{file or merged.name}: "


def _value(detail: Any) -> str:
    given = detail["input"]
    return f"{shown(given)}: " if isinstance(given, (str, int, float, bool)) else ""


def _message(detail: Any) -> str:
    message: str = _IN_WORDS.get(detail["type"], detail["msg"])
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        known = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
        guess = closest(detail["input"], known)
        message += f"; did you mean {guess!r}?" if guess else ""
    return message[:1].lower() + message[1:]
