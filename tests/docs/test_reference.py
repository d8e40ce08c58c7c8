"""Every hook, command, kind of component and policy key has an entry in the reference."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main
from pydantic import BaseModel

import secateur
from secateur.cli.app import app
from secateur.hooks import hookspecs
from secateur.hooks.registry import registry
from secateur.kinds import kind_names, role_names
from secateur.policy.match import Match

FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"
FAMILIES = {"schedule", "criterion", "pattern", "distribution"}


def words_of(page: str) -> set[str]:
    """Return the words of a page that stand in code, `like this`, or in headings."""
    text = re.sub(
        r"^```.*?^```", "", (REFERENCE / page).read_text(), flags=re.MULTILINE | re.DOTALL
    )
    inside = re.findall(r"`([^`]+)`", text) + re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {word for code in inside for word in re.findall(r"[\w-]+", code)}


def test_every_hook_has_a_section() -> None:
    hooks = {name for name in vars(hookspecs) if name.startswith("secateur_")}
    assert sorted(hooks - words_of("hooks.md")) == []


def test_every_command_has_a_section() -> None:
    commands = set(typer.main.get_group(app).commands)
    assert sorted(commands - words_of("command-line.md")) == []


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_component_and_each_of_its_keys_has_an_entry(family: str) -> None:
    built_in = {
        kind: component
        for kind, component in registry().components(family).items()
        if component.__module__.startswith("secateur.")
    }
    keys = {
        field.alias or key
        for component in built_in.values()
        for key, field in component.model_fields.items()
    }
    assert built_in
    assert sorted((built_in.keys() | keys) - words_of("policy-file.md")) == []


@pytest.mark.parametrize("table", [secateur.Policy, secateur.Rule, Match])
def test_every_key_of_a_policy_has_an_entry(table: type[BaseModel]) -> None:
    assert sorted(table.model_fields.keys() - words_of("policy-file.md")) == []


def test_the_glossary_has_every_family_kind_and_role_and_no_word_that_nothing_uses() -> None:
    page = (REFERENCE / "glossary.md").read_text()
    first = re.findall(r"^\| (?!word|---)(.+?) \|", page, re.MULTILINE)
    words = {word for cell in first for word in cell.partition(", as in")[0].split(", ")}
    assert words >= FAMILIES
    assert sorted({*kind_names(), *role_names()} - set(re.findall(r"\w+", page))) == []
    code = " ".join(path.read_text() for path in (ROOT / "core").rglob("*.py")).lower()
    text = re.sub(r"[\s_]+", " ", code)
    assert sorted(word for word in words if word.lower().replace("_", " ") not in text) == []
