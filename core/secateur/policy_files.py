"""Policies as files: TOML, YAML and JSON, read, extended and written."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secateur.errors import PolicyError
from secateur.files import write_atomically

FORMATS = (".toml", ".yaml", ".yml", ".json")
DEEPEST = 16
"""How many files may extend one another."""


def read(path: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a policy file as a table, everything that it extends merged in.

    Raises PolicyError for a file that is missing or not well formed, and for a cycle.
    """
    path = path.resolve()
    if path in chain or len(chain) >= DEEPEST:
        names = " -> ".join(str(each) for each in (*chain, path))
        fault = "extends itself" if path in chain else f"extends more than {DEEPEST} files"
        raise PolicyError(f"{path.name} {fault}: {names}")
    return extend(_parse(path), path.parent, (*chain, path))


def extend(table: Mapping[str, Any], folder: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return a table merged into what it extends, paths being relative to `folder`."""
    own = dict(table)
    base = own.pop("extends", None)
    if base is None:
        return own
    if not isinstance(base, str):
        raise PolicyError(f"extends = {base!r}: wanted the path of a policy file")
    return merge(read(folder / base, chain), own)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it.

    Later wins key by key.  A rule with the `id` of one in the base takes its place; other
    new rules go before the base's, since the first that matches decides.

    >>> merge({"rules": [{"id": "a"}]}, {"rules": [{"id": "a", "prune": False}, {"id": "b"}]})
    {'rules': [{'id': 'b'}, {'id': 'a', 'prune': False}]}
    """
    merged = {**base, **over}
    theirs, ours = base.get("rules", []), over.get("rules", [])
    if isinstance(theirs, list) and isinstance(ours, list) and theirs and ours:
        named = {rule["id"]: rule for rule in ours if isinstance(rule, Mapping) and "id" in rule}
        kept = [rule.get("id") for rule in theirs if isinstance(rule, Mapping)]
        new = [
            r for r in ours if not (isinstance(r, Mapping) and r.get("id") in kept and "id" in r)
        ]
        merged["rules"] = [*new, *(named.get(r.get("id"), r) for r in theirs)]
    return merged


def write(table: Mapping[str, Any], path: Path) -> None:
    """Write a table in the format that the file's ending names."""
    match path.suffix:
        case ".toml":
            text = to_toml(table)
        case ".json":
            text = json.dumps(table, indent=2, ensure_ascii=False) + "\n"
        case ".yaml" | ".yml":
            text = _yaml().safe_dump(dict(table), sort_keys=False, allow_unicode=True)
        case _:
            raise _unknown_format(path)
    write_atomically(path, text.encode())


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
    return json.dumps(value, ensure_ascii=False).replace("\\x7f", "\\\\u007f")


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else _toml(key)


def _parse(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise PolicyError(f"{path}: no such policy file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyError(f"{path}: cannot be read: {error}") from error
    try:
        match path.suffix:
            case ".toml":
                table = tomllib.loads(text)
            case ".json":
                table = json.loads(text)
            case ".yaml" | ".yml":
                table = _yaml().safe_load(text)
            case _:
                raise _unknown_format(path)
    except PolicyError:
        raise
    except Exception as error:  # each parser has an error class of its own
        raise PolicyError(f"{path}: not well formed: {error}") from error
    if not isinstance(table, dict):
        raise PolicyError(f"{path}: wanted a table of settings, got {type(table).__name__}")
    return table


def _yaml() -> Any:
    try:
        import yaml
    except ModuleNotFoundError:
        raise PolicyError(
            'YAML policies need PyYAML: pip install "secateur[yaml]", or use .toml or .json'
        ) from None
    return yaml


def _unknown_format(path: Path) -> PolicyError:
    return PolicyError(f"{path}: unknown format {path.suffix!r}; there are: {', '.join(FORMATS)}")
