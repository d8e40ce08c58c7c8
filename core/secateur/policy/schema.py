"""The JSON Schema of the policy file, with the parts of every registered plugin."""

from __future__ import annotations

import inspect
from typing import Any

from secateur.components.component import Component
from secateur.errors import PluginError, in_words
from secateur.hooks.contributions import FAMILIES
from secateur.hooks.registry import registry
from secateur.policy.policy import Policy


def policy_schema() -> dict[str, Any]:
    """Return the schema, by which an editor completes and checks policy files.

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
        "type": "string",
        "description": "The policy that this one is laid on: a path relative to this file, "
        "package:NAME/folder/file.toml of an installed package, or the name of a ready policy.",
    }
    schema["properties"]["$schema"] = {"type": "string"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "secateur policy",
        "description": _text(Policy),
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
        definitions |= {f"{name}.{k}": v for k, v in schema.pop("$defs", {}).items()}
        schema["properties"] = {"kind": {"const": kind}, **schema.get("properties", {})}
        required = schema.get("required", [])
        if not required:
            by_name.append(kind)
        definitions[name] = {
            **schema,
            "required": ["kind", *required],
            "title": f"{kind} {family}",
            "description": _text(component),
        }
        tables.append({"$ref": f"#/$defs/{name}"})
    names = [{"enum": by_name}] if by_name else []
    definitions[family] = {
        "anyOf": [*names, *tables],
        "description": f"One of: {', '.join(sorted(registry().components(family)))}.",
    }
    return definitions


def _text(part: type[Policy | Component]) -> str:
    """Return the docstring's prose, without its examples."""
    text = inspect.getdoc(part) or ""
    return text.partition("\n>>> ")[0].strip()
