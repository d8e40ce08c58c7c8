"""What is wrong with a policy, in words: the file, the rule, the key, the value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from secateur.components.component import SeveralError, UnknownKeyError
from secateur.errors import PolicyError, closest, shown
from secateur.policy.origins import Origins, TablePath

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


_IN_FRAMEWORKS = {
    "linear": "dense",
    "convtranspose1d": "conv_transpose",
    "convtranspose2d": "conv_transpose",
    "convtranspose3d": "conv_transpose",
    "depthwiseconv2d": "depthwise",
    "lstm": "rnn",
    "gru": "rnn",
    "multiheadattention": "attention",
    "weight": "kernel",
    "mean": "avg",
}
"""What frameworks call kinds and roles of weights that are called otherwise here."""


@dataclass(frozen=True)
class Fault:
    """One mistake of a policy.

    Attributes:
        where: The path of the part that is wrong, in the policy's table.
        text: What is wrong with it.
        key: The key in that part which is wrong, where the text names it.

    """

    where: TablePath
    text: str
    key: str | None = None

    def line(self, origins: Origins) -> str:
        """Return the mistake with its file, rule and key."""
        return _shortened(f"{origins.location(self.where, self.key)}{self.text}")


def faults(error: ValidationError) -> list[Fault]:
    """Return each mistake that a ValidationError holds, once."""
    return list(dict.fromkeys(_faults(error, ())))


def explain(error: ValidationError, origins: Origins) -> PolicyError:
    """Return the PolicyError that lists what a ValidationError holds, one mistake a line."""
    lines = list(dict.fromkeys(fault.line(origins) for fault in faults(error)))
    if len(lines) > MAX_LINES:
        lines[MAX_LINES:] = [f"and {len(lines) - MAX_LINES:,} more mistakes"]
    return PolicyError("\n".join(lines))


def located(errors: Sequence[tuple[TablePath, ValueError]]) -> ValidationError:
    """Return errors as one, each at its location in the policy."""
    details = [
        InitErrorDetails(
            type=PydanticCustomError("rule", "{why}", {"why": str(error)}), loc=where, input=None
        )
        for where, error in errors
    ]
    return ValidationError.from_exception_data("Policy", details)


def _shortened(line: str) -> str:
    return line if len(line) <= _MAX_LINE else f"{line[:_MAX_LINE]}..."


def _faults(error: Exception, where: TablePath) -> Iterator[Fault]:
    if isinstance(error, ValidationError):
        for detail in error.errors(include_url=False):
            inner = where + detail["loc"]
            cause = detail.get("ctx", {}).get("error")
            if isinstance(cause, Exception):
                yield from _faults(cause, inner)
            else:
                yield Fault(inner, f"{_value(detail)}{_message(detail)}")
    elif isinstance(error, SeveralError):
        for each in error.errors:
            yield from _faults(each, where)
    else:
        yield Fault(where, str(error), error.key if isinstance(error, UnknownKeyError) else None)


def _value(detail: Any) -> str:
    given = detail["input"]
    return f"{shown(given)}: " if isinstance(given, (str, int, float, bool)) else ""


def _message(detail: Any) -> str:
    message: str = _IN_WORDS.get(detail["type"], detail["msg"])
    if detail["type"] == "literal_error" and isinstance(detail["input"], str):
        known = re.findall(r"'([^']+)'", detail["ctx"]["expected"])
        guess = _IN_FRAMEWORKS.get(detail["input"].lower()) or closest(detail["input"], known)
        guess = guess if guess in known else None
        message += f"; did you mean {guess!r}?" if guess else ""
    return message[:1].lower() + message[1:]
