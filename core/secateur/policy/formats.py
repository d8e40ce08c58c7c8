"""The formats of policy files, TOML, YAML and JSON: from text to a table and back."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from secateur.errors import PolicyError
from secateur.policy.limits import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_VALUES,
    MAX_YAML_NODES,
    too_deep,
    too_many_values,
)
from secateur.policy.sources import FORMATS


def parse(content: bytes, suffix: str, name: str) -> dict[str, Any]:
    """Return the table that a file holds.

    A key that is written twice is refused in every format, as TOML itself does.

    Args:
        content: The bytes of the file.
        suffix: The suffix of its name, which names the format.
        name: What errors call it.

    Raises:
        PolicyError: The file is not a table in UTF-8, or too large.

    """
    if suffix not in FORMATS:
        raise unknown_format(name, suffix)
    if len(content) > MAX_BYTES:
        raise PolicyError(f"{name}: larger than {MAX_BYTES:,} bytes, which no policy is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{name}: not in UTF-8 (byte {error.start}); save it as UTF-8") from None
    try:
        table = _parse(text, suffix)
    except PolicyError as error:
        raise PolicyError(f"{name}: {error}") from error
    except (RecursionError, _TooDeepError):
        raise too_deep(name) from None
    except _TooManyError as error:
        raise too_many_values(name, *error.args) from None
    except Exception as error:  # each parser has an error class of its own
        raise PolicyError(f"{name}: not well formed: {_why(error)}") from error
    if not isinstance(table, dict):
        given = "nothing" if table is None else type(table).__name__
        raise PolicyError(f"{name}: wanted a table of settings, got {given}")
    return table


def _why(error: Exception) -> str:
    """Return what a parser found, in one line, with the line and column in the file."""
    mark, problem = (getattr(error, key, None) for key in ("problem_mark", "problem"))
    if mark is not None and problem:  # of YAML, whose own words show the text around it
        why = f"{problem} (at line {mark.line + 1}, column {mark.column + 1})"
    else:
        why = str(error)
    if "integer string conversion" in why:
        return "it holds an integer of thousands of digits"
    why = why.replace("Cannot overwrite a value", "a key is written twice")
    return " ".join(why.split())[:300]


class _TooDeepError(Exception):
    """A file is nested too deeply."""


class _TooManyError(Exception):
    """A file holds too many values."""


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        _check_dotted_keys(text)
        return tomllib.loads(text)
    if suffix == ".json":
        table = _json_parse(text)
        if isinstance(table, dict):
            table.pop("$schema", None)  # where editors look for the schema of a JSON file
        return table
    return _yaml_parse(text)


_TOML_TOKEN = re.compile(
    r'''
    """ (?: [^"\\] | \\. | "(?!"") )* (?: """ | \Z )
    | \'{3} (?: [^'] | '(?!\'{2}) )* (?: \'{3} | \Z )
    | " (?: [^"\\\n] | \\. )* "?
    | ' [^'\n]* '?
    | \# [^\n]*
    | [\w-]+
    | [ \t]+
    | .
    ''',
    re.DOTALL | re.VERBOSE,
)
_PART_OF_KEY = re.compile(r"""["'\w-]""")


def _check_dotted_keys(text: str) -> None:
    """Refuse ``a.a.a...`` of a great many parts, for which tomllib takes quadratic time."""
    dots, last = 0, ""
    for found in _TOML_TOKEN.finditer(text):
        mark = found[0][0]
        if mark in " \t":
            continue
        if mark == ".":
            dots = dots + 1 if last == "part" else 0
            last = "dot"
        elif _PART_OF_KEY.match(mark):
            dots = dots if last == "dot" else 0
            last = "part"
        else:
            dots, last = 0, ""
        if dots >= MAX_DEPTH:
            raise _TooDeepError


def _json_parse(text: str) -> Any:
    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table: dict[str, Any] = {}
        for key, value in pairs:
            if key in table:
                written = re.escape(json.dumps(key, ensure_ascii=False))
                found = [each.start() for each in re.finditer(rf"{written}\s*:", text)]
                # more of them may be in other tables
                raise _twice(key, text.count("\n", 0, found[1]) + 1 if len(found) == 2 else None)
            table[key] = value
        return table

    return json.loads(text, object_pairs_hook=distinct, parse_constant=_refuse_constant)


def _twice(key: Any, line: int | None) -> PolicyError:
    where = f" (line {line})" if line else ""
    return PolicyError(f"the key {key!r:.80} is written twice in one table{where}")


def _refuse_constant(name: str) -> NoReturn:
    raise PolicyError(f"{name} is not a number of JSON")


_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_MERGE = "tag:yaml.org,2002:merge"
_LONGEST_NUMBER = 100


def _yaml_parse(text: str) -> Any:
    yaml = _yaml()

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        """A SafeLoader that refuses double keys, and files that would grow without end."""

        depth = composed = 0

        def compose_node(self, parent: Any, index: Any) -> Any:
            self.depth, self.composed = self.depth + 1, self.composed + 1
            if self.depth > MAX_DEPTH:
                raise _TooDeepError
            if self.composed > MAX_YAML_NODES:
                raise _TooManyError(MAX_YAML_NODES)
            node = super().compose_node(parent, index)
            self.depth -= 1
            if node.tag in _NUMBERS and len(node.value) > _LONGEST_NUMBER:
                raise PolicyError(f"a number of {len(node.value):,} characters")
            return node

        def construct_document(self, node: Any) -> Any:
            _check_aliases(node)
            return super().construct_document(node)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            if any(key.tag == _MERGE for key, _ in node.value):
                raise PolicyError("a merge key, <<, is not read: write the keys, or use extends")
            known: set[Any] = set()
            for key, _ in node.value:
                name = self.construct_object(key, deep=True)
                if name in known:
                    raise _twice(name, key.start_mark.line + 1)
                known.add(name)
            mapping: dict[Any, Any] = super().construct_mapping(node, deep)
            return mapping

    return yaml.load(text, Loader)


def _check_aliases(root: Any) -> None:
    """Refuse a YAML document that is too large with every alias written out."""
    count, levels = 0, [iter([root])]
    while levels:
        node = next(levels[-1], None)
        if node is None:
            levels.pop()
            continue
        count += 1
        if count > MAX_VALUES:
            raise _TooManyError
        if len(levels) > MAX_DEPTH:
            raise _TooDeepError
        levels.append(_children(node))


def _children(node: Any) -> Iterator[Any]:
    for child in node.value if isinstance(node.value, list) else ():
        yield from child if isinstance(child, tuple) else (child,)


def _yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise PolicyError(
            'YAML policies need PyYAML: pip install "secateur[yaml]", or use .toml or .json'
        ) from None
    return yaml


def unknown_format(name: str, suffix: str) -> PolicyError:
    """Return the error that lists the formats."""
    return PolicyError(f"{name}: unknown format {suffix!r}; there are: {', '.join(FORMATS)}")


def format_table(table: Mapping[str, Any], suffix: str, name: str) -> str:
    """Return a table as the text of a file.

    Args:
        table: The table of a policy.
        suffix: The suffix of the file's name, which names the format.
        name: What errors call the file.

    Raises:
        PolicyError: The format is unknown.

    """
    if suffix == ".toml":
        return to_toml(table)
    if suffix == ".json":
        return json.dumps(table, indent=2, ensure_ascii=False) + "\n"
    if suffix in FORMATS:
        text: str = _yaml().safe_dump(dict(table), sort_keys=False, allow_unicode=True)
        return text
    raise unknown_format(name, suffix)


def to_toml(table: Mapping[str, Any]) -> str:
    """Return a table as TOML: ``[[rules]]``, and one inline table per component.

    >>> print(to_toml({"version": 1, "rules": [{"match": {"kind": ["conv"]}}]}), end="")
    version = 1
    <BLANKLINE>
    [[rules]]
    match = { kind = ["conv"] }
    """
    lines = [f"{_key(key)} = {_toml(value)}" for key, value in table.items() if key != "rules"]
    for rule in table.get("rules", ()):
        settings = (f"{_key(key)} = {_toml(value)}" for key, value in rule.items())
        lines += ["", "[[rules]]", *settings]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        inside = ", ".join(f"{_key(key)} = {_toml(item)}" for key, item in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_toml(item) for item in value)}]"
    # A JSON string is a TOML string, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _toml(key)
