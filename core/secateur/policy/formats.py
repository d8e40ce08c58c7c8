"""The formats of policy files, TOML, YAML and JSON: from text to a table and back."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from typing import Any, NoReturn

from secateur.errors import PolicyError
from secateur.policy.sources import FORMATS, LARGEST


def parse(content: bytes, suffix: str, name: str) -> dict[str, Any]:
    """Return the table that a file holds.

    A key that is written twice is refused in every format, as TOML itself does.
    Raises PolicyError, which names the file, for anything that is not a table in UTF-8.
    """
    if suffix not in FORMATS:
        raise unknown_format(name, suffix)
    if len(content) > LARGEST:
        raise PolicyError(f"{name}: larger than {LARGEST:,} bytes, which no policy is")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PolicyError(f"{name}: not in UTF-8 (byte {error.start}); save it as UTF-8") from None
    try:
        table = _parse(text, suffix)
    except PolicyError as error:
        raise PolicyError(f"{name}: {error}") from error
    except RecursionError:
        raise PolicyError(f"{name}: not well formed: nested too deeply") from None
    except Exception as error:  # each parser has an error class of its own
        why = " ".join(str(error).split())
        raise PolicyError(f"{name}: not well formed: {why}") from error
    if not isinstance(table, dict):
        raise PolicyError(f"{name}: wanted a table of settings, got {type(table).__name__}")
    return table


def _parse(text: str, suffix: str) -> Any:
    if suffix == ".toml":
        return tomllib.loads(text)
    if suffix == ".json":
        table = json.loads(text, object_pairs_hook=_distinct, parse_constant=_refuse_constant)
        if isinstance(table, dict):
            table.pop("$schema", None)  # where editors look for the schema of a JSON file
        return table
    return _yaml_parse(text)


def _distinct(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise PolicyError(f"the key {twice!r} is written twice in one table")
    return table


def _refuse_constant(name: str) -> NoReturn:
    raise PolicyError(f"{name} is not a number of JSON")


def _yaml_parse(text: str) -> Any:
    yaml = _yaml()

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined]
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            pairs = [(self.construct_object(key, deep=True), None) for key, _ in node.value]
            _distinct(pairs)
            mapping: dict[Any, Any] = super().construct_mapping(node, deep)
            return mapping

    return yaml.load(text, Loader)  # a SafeLoader that refuses double keys


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
    """Return a table as the text of a file.  Raises PolicyError for an unknown format."""
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
    lines = [f"{key} = {_toml(value)}" for key, value in table.items() if key != "rules"]
    for rule in table.get("rules", ()):
        lines += ["", "[[rules]]", *(f"{key} = {_toml(value)}" for key, value in rule.items())]
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
