"""Where the parts of a policy are written, for errors that name the file and the rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

IN_CODE = "policy"
"""What a policy is called in errors that was made of a mapping in code."""
_LONGEST = 200

Key = int | str
TablePath = tuple[Key, ...]
"""The keys and indices that lead to a part of a table, such as ``("rules", 0, "match")``."""


@dataclass(frozen=True)
class Place:
    """Where a part of a policy is written.

    Attributes:
        file: The file, or what errors call a policy without one.
        path: The path of the part in that file.

    """

    file: str
    path: TablePath


@dataclass(frozen=True)
class Origins:
    """Where the settings and the rules of a policy are written.

    Origins are equal whatever they hold: where a policy was read from makes no other policy.

    Attributes:
        name: The file, or what errors call a policy without one.
        settings: Where each key is written that was merged, by its path in the policy.
        rules: Where each rule is written.
        files: Every file that was read: the policy's own, and those that it extends.
        texts: The content and the suffix of each file, by its name.

    """

    name: str = field(default=IN_CODE, compare=False)
    settings: Mapping[TablePath, Place] = field(default_factory=dict, compare=False)
    rules: Sequence[Place] = field(default=(), compare=False)
    files: tuple[Path, ...] = field(default=(), compare=False)
    texts: Mapping[str, tuple[bytes, str]] = field(default_factory=dict, compare=False, repr=False)

    def place(self, where: Sequence[Key]) -> Place:
        """Return where a part of the policy is written.

        >>> origins = Origins("p.toml", rules=[Place("base.toml", ("rules", 4))])
        >>> origins.place(("rules", 0, "prune"))
        Place(file='base.toml', path=('rules', 4, 'prune'))
        """
        path = tuple(where)
        index = path[1] if len(path) > 1 and path[0] == "rules" else None
        for length in range(len(path), 0 if index is None else 2, -1):
            if known := self.settings.get(path[:length]):
                return Place(known.file, known.path + path[length:])
        if isinstance(index, int) and index < len(self.rules):
            rule = self.rules[index]
            return Place(rule.file, rule.path + path[2:])
        return Place(self.name, path)

    def location(self, where: Sequence[Key], key: str | None = None) -> str:
        """Return the words for a location in the policy's table.

        Args:
            where: The path of a part of the policy.
            key: A key in that part that is meant, where the words need not repeat it.

        >>> Origins("p.toml").location(("rules", 1, "pattern", "points", 0))
        'p.toml: rule 2, pattern.points[0]: '

        """
        if key is None:
            place = self.place(where)
        else:
            inner = self.place([*where, key])
            place = Place(inner.file, inner.path[:-1])
        words = list(place.path)
        rule = ""
        if len(words) > 1 and words[0] == "rules" and isinstance(words[1], int):
            rule, words = f"rule {words[1] + 1}", words[2:]
        path = ""
        for word in words:
            path += f"[{word}]" if isinstance(word, int) else f".{word}" if path else str(word)
        parts = ", ".join(part for part in (rule, path[:_LONGEST]) if part)
        return f"{place.file}: {parts}: " if parts else f"{place.file}: "

    def rule(self, number: int, id: str | None) -> str:  # noqa: A002 - the word of the file
        """Return the words for a rule: its number, its id, and the file that it is written in.

        >>> places = [Place("p.toml", ("rules", 0)), Place("base.toml", ("rules", 0))]
        >>> Origins("p.toml", rules=places).rule(2, "stem")
        "base.toml: rule 1 ('stem', rule 2 of the plan)"
        >>> Origins().rule(2, "stem")
        "rule 2 ('stem')"
        """
        place = self.place(("rules", number - 1))
        index = place.path[1] if len(place.path) > 1 else number - 1
        written = index + 1 if isinstance(index, int) else number
        details = [repr(id)[:_LONGEST]] if id else []
        if written != number:
            details.append(f"rule {number} of the plan")
        words = f"rule {written}" + (f" ({', '.join(details)})" if details else "")
        return words if place.file == IN_CODE else f"{place.file}: {words}"
