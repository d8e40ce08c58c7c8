"""Where the parts of a policy are written, for errors that name the file and the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

IN_CODE = "policy"
"""What a policy is called in errors that was made of a mapping in code."""
_LONGEST = 200


@dataclass(frozen=True)
class Origins:
    """Where the keys and the rules of a policy are written.

    Origins are equal whatever they hold: where a policy was read from makes no other policy.

    Attributes:
        name: The file, or what errors call a policy without one.
        keys: The file of each key.
        rules: The file of each rule, and its number there.
        files: Every file that was read: the policy's own, and those that it extends.

    """

    name: str = field(default=IN_CODE, compare=False)
    keys: Mapping[str, str] = field(default_factory=dict, compare=False)
    rules: Sequence[tuple[str, int]] = field(default=(), compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)

    def location(self, where: Sequence[int | str]) -> str:
        """Return the words for a location in the policy's table.

        >>> Origins("p.toml").location(("rules", 1, "pattern", "points", 0))
        'p.toml: rule 2, pattern.points[0]: '
        """
        words = list(where)
        file = self.keys.get(str(words[0]), self.name) if words else self.name
        rule = ""
        if len(words) > 1 and words[0] == "rules" and isinstance(words[1], int):
            file, number = self._rule(words[1])
            rule, words = f"rule {number}", words[2:]
        path = ""
        for word in words:
            path += f"[{word}]" if isinstance(word, int) else f".{word}" if path else str(word)
        parts = ", ".join(part for part in (rule, path[:_LONGEST]) if part)
        return f"{file}: {parts}: " if parts else f"{file}: "

    def rule(self, number: int, id: str | None) -> str:  # noqa: A002 - the word of the file
        """Return the words for a rule: its number, its id, and the file that it is written in.

        >>> Origins("p.toml", rules=[("p.toml", 1), ("base.toml", 1)]).rule(2, "stem")
        "base.toml: rule 1 ('stem', rule 2 of the plan)"
        >>> Origins().rule(2, "stem")
        "rule 2 ('stem')"
        """
        file, written = self._rule(number - 1)
        details = [repr(id)[:_LONGEST]] if id else []
        if written != number:
            details.append(f"rule {number} of the plan")
        words = f"rule {written}" + (f" ({', '.join(details)})" if details else "")
        return words if file == IN_CODE else f"{file}: {words}"

    def _rule(self, index: int) -> tuple[str, int]:
        return self.rules[index] if index < len(self.rules) else (self.name, index + 1)
