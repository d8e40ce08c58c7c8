"""Work is bounded by the size of a policy: no file takes more than a moment, or waits."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import numpy as np
import pytest

import secateur
from secateur.errors import PolicyError
from secateur.policy.limits import MAX_DEPTH
from secateur.policy.match import Match
from secateur.policy.policy import Policy

ONE_SHOT = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
MOMENT = 20
"""Seconds that are far more than a moment, for slow and busy machines."""
BOMB = "x0: &x0 [ha]\n" + "\n".join(
    f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 40)
)
MERGED = "x0: &x0 {a: 1}\n" + "\n".join(
    f"x{n}: &x{n} {{<<: [{', '.join([f'*x{n - 1}'] * 9)}]}}" for n in range(1, 40)
)
FILES = {
    "aliases_of_aliases.yaml": BOMB,
    "merged_aliases.yaml": MERGED,
    "many_aliases.yaml": f"a: &a [{'x, ' * 1000}]\nb: [{'*a, ' * 90_000}]",
    "an_alias_of_itself.yaml": "a: &a [*a]",
    "a_table_in_itself.yaml": "&a {b: *a}",
    "brackets.yaml": "[" * 3000 + "]" * 3000,
    "braces.yaml": "{a: " * 3000 + "1" + "}" * 3000,
    "lists.yaml": "- " * 3000 + "x",
    "indented.yaml": "\n".join(" " * n + "a:" for n in range(1200)),
    "many_values.yaml": f"a: [{'x,' * 300_000}]",
    "base_60.yaml": "version: 1" + ":59" * 300_000,
    "base_60_fraction.yaml": "version: 1" + ":59" * 300_000 + ".5",
    "digits.yaml": "version: " + "9" * 5000,
    "digits.toml": "version = " + "9" * 5000,
    "hexadecimal.toml": "version = 0x" + "f" * 100_000,
    "digits.json": '{"version": ' + "9" * 5000 + "}",
    "dotted.toml": "a." * 500_000 + "a = 1",
    "quoted.toml": '"a b".' * 150_000 + "a = 1",
    "dotted_behind_a_text.toml": 'x = {a = """\n # """, ' + "b." * 50_000 + "b = 1}",
    "dotted_table.toml": f"[{'a.' * 50_000}a]",
    "arrays.toml": "a = " + "[" * 100_000,
    "tables.toml": "a = " + "{a=" * 100_000,
    "objects.json": '{"a":' * 3000 + "1" + "}" * 3000,
    "a_little_too_deep.json": '{"a":' * (MAX_DEPTH + 1) + "1" + "}" * (MAX_DEPTH + 1),
    "twice.json": "{" + "".join(f'"k{n}": 1,' for n in range(90_000)) + '"k89999": 1}',
    "long_text.toml": f'name = "{"x" * 100_000}"',
    "many_keys.toml": "\n".join(f"a{n} = 1" for n in range(60_000)),
}  # fmt: skip


LARGE = ("many_aliases.yaml", "many_keys.toml", "many_values.yaml")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in LARGE else []) for n in FILES]
)
def test_a_file_of_a_hostile_shape_is_refused_at_once_and_in_few_words(tmp_path, name):
    path = tmp_path / name
    path.write_text(FILES[name])
    began = time.perf_counter()
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    assert time.perf_counter() - began < MOMENT
    assert len(str(caught.value).replace(str(path), "")) < 500
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("alias.yaml", ("schedule: &s {kind: one_shot, final_sparsity: 0.5}\n"
         "rules: [{schedule: *s}]")),
        ("dots.toml", 'name = "' + "a.b " * 500 + '"\nschedule = { kind = "one_shot", '
         "final_sparsity = 0.5 }  # " + "." * 2000),
        ("points.toml", "[schedule]\nkind = 'piecewise'\npoints = ["
         + ", ".join(f"[{n}, 0.{n:04}]" for n in range(1000)) + "]"),
    ],
)  # fmt: skip
def test_what_only_looks_hostile_is_read(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert Policy.load(tmp_path / name).schedule is not None


@pytest.mark.sampled(3)
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs here")
@pytest.mark.parametrize("how", ["direct", "by a link", "extended"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, how):
    os.mkfifo(tmp_path / "fifo.toml")
    (tmp_path / "link.toml").symlink_to("fifo.toml")
    (tmp_path / "mine.toml").write_text('extends = "fifo.toml"')
    name = {"direct": "fifo", "by a link": "link", "extended": "mine"}[how]
    code = f"import secateur; secateur.Policy.load({str(tmp_path / name) + '.toml'!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert "PolicyError" in done.stderr
    assert "not a regular file" in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/zero"), reason="there are no devices here")  # noqa: PTH110
def test_a_device_and_a_folder_are_refused(tmp_path):
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    (tmp_path / "folder.toml").mkdir()
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    for name in ("zero", "folder", "loop"):
        with pytest.raises(PolicyError, match="cannot be read"):
            Policy.load(tmp_path / f"{name}.toml")


HUGE = {
    "integer": {"end_step": 10**5000},
    "negative": {"end_step": -(10**5000)},
    "key": {10**5000: 1},
    "in_a_rule": {"rules": [{"match": {"min_size": 10**5000}}]},
    "version": {"version": 10**5000},
    "surrogate_name": {"name": "\ud800"},
    "surrogate_key": {"\udfff": 1},
    "surrogate_extends": {"extends": "a\ud800.toml"},
    "surrogate_plugin": {"plugins": ["\udc80"]},
    "surrogate_glob": {"rules": [{"match": {"name": "a\ud800*"}}]},
    "surrogate_adapter": {"rules": [{"match": {"name": {"\ud800": "a"}}}]},
    "surrogate_id": {"rules": [{"id": "\ud800"}]},
    "glob": {"rules": [{"match": {"name": "[" * 100_000}}]},
    "shorter_glob": {"rules": [{"match": {"name": "*a" * 501}}]},
    "globs": {"rules": [{"match": {"name": ["a"] * 2000}}]},
    "long_name": {"name": "x" * 1_000_000},
    "long_extends": {"extends": "x/" * 4000 + "y.toml"},
    "window": {"schedule": {**ONE_SHOT["schedule"],
                            "begin_when": {"monitor": "loss", "window": 10_000_000}}},
    "rules": {"rules": [{}] * 300_000},
}  # fmt: skip


@pytest.mark.parametrize("how", HUGE)
def test_a_value_without_end_is_refused_in_a_mapping_too(how):
    with pytest.raises(PolicyError) as caught:
        Policy.parse({**ONE_SHOT, **HUGE[how]})
    assert len(str(caught.value)) < 600
    str(caught.value).encode()  # which a terminal can show


@pytest.mark.parametrize("make", [
    lambda: Policy(name="\ud800", **ONE_SHOT),
    lambda: Match(min_size=-(10**5000)),
    lambda: Match(name="[" * 100_000),
    lambda: secateur.Rule(id="\udfff"),
])  # fmt: skip
def test_and_in_a_constructor(make):
    with pytest.raises(PolicyError):
        make()


def test_a_table_that_holds_itself_is_refused():
    table = dict(ONE_SHOT)
    table["rules"] = [table]
    with pytest.raises(PolicyError, match="nested too deeply"):
        Policy.parse(table)


@pytest.mark.slow
def test_ten_thousand_rules_plan_in_seconds():
    weights = {f"block{n}": np.ones((2, 2)) for n in range(200)}
    rules = [
        {"required": False, "match": {"name": f"x{n}*", "depth": [0, 0.5], "kind": "dense"}}
        for n in range(10_000)
    ]
    began = time.perf_counter()
    plan = secateur.plan(weights, {**ONE_SHOT, "rules": [*rules, {}]}, total_steps=100)
    assert time.perf_counter() - began < 2 * MOMENT
    assert {planned.rule for planned in plan.weights} == {10_001}


@pytest.mark.parametrize(
    "glob", ["*a" * 499 + "b", "*?" * 499 + "b", "*[a-z]" * 160 + "1", "[" * 999]
)
def test_a_glob_of_many_wildcards_is_matched_at_once(glob):
    rules = [{"required": False, "match": {"name": glob}}, {}]
    began = time.perf_counter()
    plan = secateur.plan({"a" * 3000: np.ones((2, 2))}, {**ONE_SHOT, "rules": rules})
    assert time.perf_counter() - began < MOMENT
    assert plan.weights[0].rule == 2


def test_an_error_of_many_mistakes_lists_the_first(tmp_path):
    rules = [{"zzz": 1}] * 5000
    with pytest.raises(PolicyError) as caught:
        Policy.parse({**ONE_SHOT, "rules": rules})
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[0].startswith("policy: rule 1: unknown key 'zzz'")
    assert lines[-1] == "and 4,980 more mistakes"


def test_a_tile_larger_than_any_weight_takes_no_more_memory_than_the_weight():
    pattern = {"kind": "block", "out": 2**40, "in": 2**50}
    weights = {"a": np.arange(1.0, 25).reshape(4, 6), "b": np.ones((3, 5, 2))}
    report = secateur.prune(weights, {**ONE_SHOT, "pattern": pattern})
    assert [weight.kept for weight in report.weights] == [0, 15]


@pytest.mark.parametrize(
    "schedule",
    [
        {"kind": "linear", "final_sparsity": 0.5, "end_step": "\u0665\u0660%"},
        {"kind": "constant", "final_sparsity": 0.5, "begin_when": {"monitor": ""}},
    ],
)
def test_digits_of_other_scripts_and_empty_names_are_refused(schedule):
    with pytest.raises(PolicyError, match="schedule"):
        Policy.parse({"schedule": schedule})
