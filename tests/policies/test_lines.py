"""The line of each key, in every format, agrees with the parser on what keys there are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secateur.policy.formats import format_table, parse
from secateur.policy.reading.lines import lines_of

KEYS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=5) | st.sampled_from(
    ["a", "b-1", "a.b", '"', "'", "#", "[", "=", "kind"]
)
VALUES = st.recursive(
    st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)
TABLES = st.dictionaries(KEYS.filter(lambda key: key not in ("rules", "$schema")), VALUES).flatmap(
    lambda table: st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=3).map(
        lambda rules: {**table, "rules": rules} if rules else table
    )
)


def paths(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield (*above, key)
        if isinstance(inner, (dict, list)):
            yield from paths(inner, (*above, key))


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@given(table=TABLES)
def test_every_key_that_the_parser_finds_has_the_line_on_which_it_stands(suffix, table):
    content = format_table(table, suffix, "p").encode()
    found = lines_of(content, suffix)
    assert set(found) == set(paths(parse(content, suffix, "p")))
    lines = content.decode().split("\n")
    for path, number in found.items():
        if isinstance(path[-1], str):
            assert path[-1] in lines[number - 1] or json.dumps(path[-1], ensure_ascii=False)[1:-1] \
                in lines[number - 1] or "[[rules]]" in lines[number - 1]  # fmt: skip


HAND_WRITTEN = '''\ufeff# [not.a.table]
version = 1  # = 2
"na.me" = """
[schedule]
it's "quoted" \\"""
"""
schedule.kind = 'x'
[pattern]
points = [ # [
  [ 1, 0.5 ],
  { a = 1, "b]" = [ ] },
  1979-05-27 07:32:00, 0x_f, +inf,
]
[[rules]]
match.name = ["a[0]", 'b#']
[rules.schedule]
kind = \'\'\'two
lines\'\'\'
[[ "rules" ]]
[rules.match]
 kind = "z"
'''


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_toml_file_written_by_hand(ending):
    content = HAND_WRITTEN.replace("0x_f", "0xf").replace("\n", ending).encode()
    found = lines_of(content, ".toml")
    assert set(found) == set(paths(parse(content, ".toml", "p")))
    lines = {
        ("na.me",): 3,
        ("schedule", "kind"): 7,
        ("pattern", "points", 1, "b]"): 11,
        ("rules", 0, "match", "name", 1): 15,
        ("rules", 0, "schedule", "kind"): 17,
        ("rules", 1): 19,
        ("rules", 1, "match", "kind"): 21,
    }
    assert {path: found[path] for path in lines} == lines


def test_a_yaml_file():
    content = b"a:\n  b: [1,\n   2]\nbase: &x {k: 1}\nrules:\n- id: x\n  <<: *x\n- id: y\n"
    found = lines_of(content, ".yaml")
    assert found["a", "b", 1] == 3
    assert (found["rules", 0], found["rules", 1, "id"]) == (6, 8)
