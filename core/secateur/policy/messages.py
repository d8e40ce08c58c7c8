"""What is wrong with a policy, in words: the file, the rule, the key, the value."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from secateur.errors import PolicyError, closest, shown
from secateur.policy.origins import Origins

MAX_LINES = 20
"""How many mistakes one error lists."""
_MAX_LINE = 400
_IN_WORDS = {
    "tuple_type": "input should be a list",
    "dict_type": "input should be a table",
    "model_type": "input should be a table",
    "model_attributes_type": "input should be a table",
}
"""Messages of pydantic that speak of Python, for people who write TOML."""


def explain(error: ValidationError, origins: Origins) -> PolicyError:
    """Return the PolicyError that lists what a ValidationError holds, one mistake a line."""
    lines = [_shortened(line) for line in dict.fromkeys(_lines(error, (), origins))]
    if len(lines) > MAX_LINES:
        lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES:,} more mistakes"]
    return PolicyError("\n".join(lines))


def located(error: ValueError, where: tuple[int | str, ...]) -> ValidationError:
    """Return the same error at a location in the policy."""
    cause = PydanticCustomError("rule", "{why}", {"why": str(error)})
    return ValidationError.from_exception_data(
        "Policy", [InitErrorDetails(type=cause, loc=where, input=None)]
    )


def _shortened(line: str) -> str:
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."


def _lines(error: ValidationError, above: tuple[Any, ...], origins: Origins) -> Iterator[str]:
    for detail in error.errors(include_url=False):
        where = above + detail["loc"]
        cause = detail.get("ctx", {}).get("error")
        if isinstance(cause, ValidationError):
            yield from _lines(cause, where, origins)
        elif isinstance(cause, Exception):
            yield f"{origins.location(where)}{cause}"
        else:
            yield f"{origins.location(where)}{_value(detail)}{_message(detail)}"


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
