"""On which line of its file each key of a policy is written; the parsers do not say."""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from secateur.policy.origins import IN_CODE, Key, Origins, TablePath

_STRING = r'"""(?:[^\\]|\\.)*?"{3,5}|\'{3}.*?\'{3,5}|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\''
_KEY = re.compile(rf"{_STRING}|[\w-]+", re.DOTALL)
_SCALAR = re.compile(rf"{_STRING}|[^\s,\[\]{{}}#]+(?:[ ]\d[\d:.+Z-]*)?", re.DOTALL)
_READY = re.compile(r"\Apackage:secateur/policy/ready/(.*)\.toml\Z")
_BLANK = re.compile(r"[ \t]*")
_BLANKS = re.compile(r"(?:\s|#[^\n]*)*")


@lru_cache(maxsize=32)
def lines_of(content: bytes, suffix: str) -> Mapping[TablePath, int]:
    r"""Return the line, from 1, of each key of a file and of each item of its lists.

    Args:
        content: The bytes of a file that `secateur.policy.formats.parse` has read.
        suffix: The suffix of its name, which names the format.

    Example:
        >>> lines_of(b'[schedule]\nkind = "linear"\n[[rules]]', ".toml")
        {('schedule',): 1, ('schedule', 'kind'): 2, ('rules',): 3, ('rules', 0): 3}

    """
    text = content.decode("utf-8-sig")
    if suffix == ".toml":
        return _Toml(text).document()
    if suffix == ".json":
        return _Json(text).document()
    return dict(_yaml_lines(text))


@dataclass(frozen=True)
class Written:
    """Where a part of a policy is written.

    Attributes:
        file: The file; None for a policy that was made in code.
        line: The line of the part, or of the nearest part around it, from 1; None for what is in
            no file.

    Example:
        >>> print(Written("base.toml", 3))
        base.toml:3

    """

    file: str | None
    line: int | None

    def __str__(self) -> str:
        file = _READY.sub(r"\1", self.file or "code")
        return file if self.line is None else f"{file}:{self.line}"


def written_at(origins: Origins, where: Sequence[Key]) -> Written:
    """Return the file and the line of a part of a policy.

    Args:
        origins: Where the parts of the policy are written.
        where: The path of the part in the policy's table.

    """
    place = origins.place(where)
    if place.file not in origins.texts:
        return Written(None if place.file == IN_CODE else place.file, None)
    lines = lines_of(*origins.texts[place.file])
    for length in range(len(place.path), 0, -1):
        if place.path[:length] in lines:
            return Written(place.file, lines[place.path[:length]])
    return Written(place.file, None)


class _Scanner:
    """Walks through a text that is known to be well formed."""

    separator = "="

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[TablePath, int] = {}
        self._breaks = [each.start() for each in re.finditer("\n", text)]

    def note(self, path: TablePath, at: int) -> None:
        """Note the line of a part that begins at a character; the first one counts."""
        self.lines.setdefault(path, bisect_right(self._breaks, at - 1) + 1)

    def skip(self, pattern: re.Pattern[str] = _BLANKS) -> str:
        """Skip what is blank; return the character after it, nothing at the end."""
        if found := pattern.match(self.text, self.at):
            self.at = found.end()
        return self.text[self.at : self.at + 1]

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None or found.end() == self.at:
            raise ValueError(f"at character {self.at}: this is not well formed")
        self.at = found.end()
        return found[0]

    def key(self, above: TablePath) -> TablePath:
        """Read a key, dotted perhaps, and note its line."""
        path = above
        while True:
            self.skip(_BLANK)
            start = self.at
            path = self.below(path, _unquoted(self.take(_KEY)))
            self.note(path, start)
            if self.skip(_BLANK) != ".":
                return path
            self.at += 1

    def below(self, path: TablePath, word: str) -> TablePath:
        return (*path, word)

    def value(self, path: TablePath) -> None:
        mark = self.skip()
        if mark not in ("[", "{"):
            self.take(_SCALAR)
            return
        self.at += 1
        number = 0
        while (found := self.skip()) not in ("]", "}"):
            if found == ",":
                self.at += 1
            elif mark == "[":
                self.note((*path, number), self.at)
                self.value((*path, number))
                number += 1
            else:
                inner = self.key(path)
                self.skip()
                self.at += len(self.separator)
                self.value(inner)
        self.at += 1


class _Json(_Scanner):
    separator = ":"

    def document(self) -> dict[TablePath, int]:
        self.value(())
        return self.lines

    def key(self, above: TablePath) -> TablePath:
        start = self.at
        path = (*above, _unquoted(self.take(_KEY)))
        self.note(path, start)
        return path


class _Toml(_Scanner):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._counts: dict[TablePath, int] = {}

    def document(self) -> dict[TablePath, int]:
        table: TablePath = ()
        while mark := self.skip():
            if mark == "[":
                table = self._header()
            else:
                path = self.key(table)
                self.at += len(self.separator)
                self.value(path)
        return self.lines

    def below(self, path: TablePath, word: str) -> TablePath:
        """Return a path below another one: that of the last item where it is a list of tables."""
        path = (*path, word)
        return (*path, self._counts[path] - 1) if path in self._counts else path

    def _header(self) -> TablePath:
        is_item = self.text.startswith("[[", self.at)
        start = self.at
        self.at += 2 if is_item else 1
        if is_item:
            parts = self._parts()
            path: TablePath = ()
            for part in parts[:-1]:
                path = self.below(path, part)
            path = (*path, parts[-1])
            self._counts[path] = self._counts.get(path, 0) + 1
            item = (*path, self._counts[path] - 1)
            self.note(path, start)
            self.note(item, start)
            self.at += len("]]")
            return item
        path = self.key(())
        self.at += 1
        return path

    def _parts(self) -> list[str]:
        parts = []
        while True:
            self.skip(_BLANK)
            parts.append(_unquoted(self.take(_KEY)))
            if self.skip(_BLANK) != ".":
                return parts
            self.at += 1


def _unquoted(word: str) -> str:
    if word.startswith('"'):
        try:
            return str(json.loads(word))
        except ValueError:  # an escape that only TOML has
            return word[1:-1]
    return word[1:-1] if word.startswith("'") else word


def _yaml_lines(text: str) -> Iterator[tuple[TablePath, int]]:
    import yaml

    def inside(node: Any, path: TablePath) -> Iterator[tuple[TablePath, int]]:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                yield (*path, key.value), key.start_mark.line + 1
                yield from inside(value, (*path, key.value))
        elif isinstance(node, yaml.SequenceNode):
            for number, value in enumerate(node.value):
                yield (*path, number), value.start_mark.line + 1
                yield from inside(value, (*path, number))

    yield from inside(yaml.compose(text, yaml.SafeLoader), ())
