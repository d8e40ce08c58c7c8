"""The JSON Schema of the policy file, with the parts of every registered plugin."""

from __future__ import annotations

import inspect
import re
from typing import Any

from secateur.components.component import Table
from secateur.errors import PluginError, in_words
from secateur.hooks.contributions import FAMILIES
from secateur.hooks.registry import registry
from secateur.policy.match import Match
from secateur.policy.policy import Policy
from secateur.policy.rule import Rule

_SECTION = re.compile(r"\n\n([A-Z][a-z]+:(?=\n)|(?=>>> ))")
_ATTRIBUTE = re.compile(r"^    (\w+): (.*(?:\n      +.*)*)", re.MULTILINE)


def policy_schema() -> dict[str, Any]:
    """Return the schema, by which an editor completes and checks policy files.

    Raises:
        PluginError: A component of a plugin has a key that no schema can describe.

    Example:
        >>> schema = policy_schema()
        >>> schema["$schema"], "cosine" in schema["$defs"]["schedule"]["description"]
        ('https://json-schema.org/draft/2020-12/schema', True)

    """
    schema = Policy.model_json_schema()
    rule, match = schema["$defs"]["Rule"], schema["$defs"]["Match"]
    definitions: dict[str, Any] = {"Rule": rule, "Match": match}
    for family in FAMILIES:
        definitions |= _family(family)
        for table in (schema, rule):
            table["properties"][family] = {"$ref": f"#/$defs/{family}"}
    schema["properties"]["extends"] = {
        "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
        "description": "The policy that this one extends, or several, of which later ones win: a "
        "path relative to this file, package:NAME/folder/file.toml of an installed package, or "
        "the name of a ready policy.",
    }
    schema["properties"]["$schema"] = {"type": "string"}
    for part, table in ((Policy, schema), (Rule, rule), (Match, match)):
        _describe(table, part)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "secateur policy",
        "$defs": definitions,
    }


def _family(family: str) -> dict[str, Any]:
    """Return the definitions of all components of a family, and of their choice."""
    definitions: dict[str, Any] = {}
    by_name, tables = [], []
    for kind, component in sorted(registry().components(family).items()):
        name = f"{family}.{kind}"
        try:
            schema = component.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}")
        except Exception as error:  # fields of a plugin that no schema can describe
            plugin = registry().provider(component)
            raise PluginError(
                f"plugin {plugin}: the {family} {kind!r} has no JSON Schema: {in_words(error)}"
            ) from error
        for key, nested in schema.pop("$defs", {}).items():
            definitions[f"{name}.{key}"] = nested
            _describe_by(nested.get("description", ""), nested)
        schema["properties"] = {"kind": {"const": kind}, **schema.get("properties", {})}
        required = schema.get("required", [])
        if not required:
            by_name.append(kind)
        definitions[name] = {
            **schema,
            "required": ["kind", *required],
            "title": f"{kind} {family}",
        }
        _describe(definitions[name], component)
        tables.append({"$ref": f"#/$defs/{name}"})
    names = [{"enum": by_name}] if by_name else []
    definitions[family] = {
        "anyOf": [*names, *tables],
        "description": f"One of: {', '.join(sorted(registry().components(family)))}.",
    }
    return definitions


def _describe(schema: dict[str, Any], part: type[Table]) -> None:
    """Describe a table and its keys by the docstrings of its class and of the class's bases."""
    for base in reversed(part.__mro__):
        _describe_by(inspect.cleandoc(base.__doc__ or ""), schema)


def _describe_by(docstring: str, schema: dict[str, Any]) -> None:
    """Describe a table by the prose of a docstring, and its keys by the section on attributes."""
    prose, *sections = _SECTION.split(docstring)
    schema["description"] = prose.strip()
    for head, section in zip(sections[::2], sections[1::2], strict=True):
        for key, text in _ATTRIBUTE.findall(section) if head == "Attributes:" else ():
            if key in schema.get("properties", {}):
                schema["properties"][key]["description"] = " ".join(text.split())
