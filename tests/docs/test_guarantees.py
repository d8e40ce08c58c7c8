"""Each promise on the page of guarantees names a test, and that test exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "guarantees.md"
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def promises() -> list[str]:
    """Return the rows of the page's tables, without their heads."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [row for row in rows if not row.startswith(("| promise", "| ---"))]


def names_of_tests(path: Path) -> set[str]:
    """Return the names of the tests in a file, those of classes included."""
    nodes = ast.walk(ast.parse(path.read_text()))
    return {node.name for node in nodes if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", promises(), ids=lambda row: row[2:60])
def test_every_promise_names_a_test_that_exists(row: str) -> None:
    named = NAMED.findall(row)
    assert named, row
    for file, test in named:
        where = ROOT / file
        assert where.is_file(), file
        assert test in names_of_tests(where), f"{file} has no test {test}"


def test_there_are_promises() -> None:
    assert len(promises()) > 20
