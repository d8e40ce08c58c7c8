"""Errors of policy files: what, where, what exists; never a traceback of a parser."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest

import secateur
from secateur.errors import ModelError, PolicyError
from secateur.policy.match import Match
from secateur.policy.policy import Policy, as_policy
from secateur.policy.rule import Rule

SCHEDULE = '[schedule]\nkind = "one_shot"\nfinal_sparsity = 0.5\n'


def rule(text: str) -> str:
    return f"{SCHEDULE}[[rules]]\n[[rules]]\n{text}\n"


HOSTILE = {
    "pooling": (
        rule('pattern = { kind = "block", pooling = "avgg" }'),
        ("p.toml: rule 2, pattern.pooling: 'avgg': input should be 'avg', 'max', 'min', 'l1' or "
        "'l2'; did you mean 'avg'?"),
    ),
    "nan_sparsity": (
        '[schedule]\nkind = "one_shot"\nfinal_sparsity = nan',
        "p.toml: schedule.final_sparsity: nan: input should be a finite number",
    ),
    "sparsity_in_percent": (
        '[schedule]\nkind = "one_shot"\nfinal_sparsity = 80',
        "p.toml: schedule.final_sparsity: 80: input should be less than or equal to 1",
    ),
    "boolean_for_a_number": (
        '[schedule]\nkind = "one_shot"\nfinal_sparsity = true',
        "p.toml: schedule.final_sparsity: True: input should be a valid number",
    ),
    "boolean_for_an_integer": (
        '[schedule]\nkind = "constant"\nfinal_sparsity = 0.5\nfrequency = true',
        "p.toml: schedule.frequency: True: input should be a valid integer",
    ),
    "string_for_a_number": (
        '[schedule]\nkind = "one_shot"\nfinal_sparsity = "0.5"',
        "p.toml: schedule.final_sparsity: '0.5': input should be a valid number",
    ),
    "version_true": ("version = true", "p.toml: version: wanted the integer 1, not True"),
    "version_2": ("version = 2", "p.toml: version: 2: input should be 1"),
    "unknown_key": (
        SCHEDULE + "frequncy = 3",
        ("p.toml: schedule: unknown key 'frequncy': there are: begin_step, begin_when, "
        "final_sparsity"),
    ),
    "misspelt_kind_of_schedule": (
        'schedule = { kind = "polinomial", final_sparsity = 0.5 }',
        ("p.toml: schedule: no schedule 'polinomial': did you mean 'polynomial'? There are: "
        "ac_dc, constant, cosine"),
    ),
    "misspelt_kind_of_weight": (
        rule('match = { kind = "embeding" }'),
        "p.toml: rule 2, match.kind[0]: 'embeding': input should be 'dense'",
    ),
    "nan_depth": (
        rule("match = { depth = [0, nan] }"),
        "p.toml: rule 2, match.depth[1]: nan: input should be a finite number",
    ),
    "unknown_adapter": (
        rule('match = { name = { pytorch = "a" } }'),
        ("p.toml: rule 2, match.name: no adapter 'pytorch': did you mean 'torch'? There are: "),
    ),
    "number_for_a_name": (rule("match = { name = 3 }"), 'wanted a glob such as "encoder.*"'),
    "double_ids": (
        SCHEDULE + '[[rules]]\nid = "a"\n[[rules]]\n[[rules]]\nid = "a"',
        "p.toml: rule 3, id: 'a' is the id of rule 1 too",
    ),
    "ids_that_are_lists": (
        SCHEDULE + '[[rules]]\nid = ["a"]\n[[rules]]\nid = ["a"]',
        "p.toml: rule 1, id: input should be a valid string",
    ),
    "no_schedule": ("[[rules]]\nprune = false\n[[rules]]", "p.toml: rule 2: no schedule"),
    "n_m_that_grows": (
        rule('pattern = { kind = "n_m", keep = 2, of = 4 }\n'
             'schedule = { kind = "linear", final_sparsity = 0.5, end_step = 3 }'),
        "p.toml: rule 2: pattern 'n_m' has a fixed sparsity",
    ),
    "rules_no_list": (SCHEDULE + "[rules]\na = 1", "p.toml: rules: input should be a list"),
    "rule_no_table": ("rules = [3]\n" + SCHEDULE, "p.toml: rule 1: 3: input should be a table"),
    "extends_misspelt": (
        'extend = "cnn-80"',
        "p.toml: unknown key 'extend': did you mean 'extends'? There are: criterion, dist",
    ),
    "extends_no_string": ("extends = 3", "p.toml: extends = 3: wanted the path"),
    "extends_null": ('extends = "a\\u0000.toml"', "no path holds a null character"),
    "extends_nothing": ('extends = "base.toml"', "base.toml: no such policy file"),
    "extends_unknown_name": (
        'extends = "cnn-81"',
        "p.toml: extends: no ready policy 'cnn-81': did you mean 'cnn-80'?",
    ),
    "key_written_twice": ("version = 1\nversion = 1", "p.toml: not well formed: a key is written"),
    "deeply_nested": ("a = " + "[" * 100_000, "p.toml: not well formed: nested too deeply"),
    "huge": ("#" * 2_000_000, "p.toml: larger than 1,048,576 bytes, which no policy is"),
    "long_key": ("x" * 100_000 + " = 1", "p.toml: unknown key 'xxx"),
    "missing_plugin": (
        'plugins = ["team-sine"]\nschedule = { kind = "sine", final_sparsity = 0.5 }',
        ("p.toml: plugins: the policy needs the plugin 'team-sine', which is missing (not "
        "installed: pip install team-sine)\np.toml: schedule: no schedule 'sine': "),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_bad_policy_file_gets_an_error_that_says_where(tmp_path, monkeypatch, case):
    text, message = HOSTILE[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(PolicyError) as caught:
        Policy.load("p.toml")
    assert message in str(caught.value)
    assert max(map(len, str(caught.value).splitlines())) < 400


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.json", b'{"version": NaN}', "NaN is not a number of JSON"),
        ("p.json", b'{"version": 1,\n "version": 1}', "written twice in one table (line 2)"),
        ("p.json", b"[" * 100_000, "nested too deeply"),
        ("p.json", b"[]", "wanted a table of settings, got list"),
        ("p.yaml", b"version: 1\nversion: 1", "written twice in one table (line 2)"),
        ("p.yaml", b"[" * 100_000, "not well formed: nested too deeply"),
        ("p.yaml", b"!!python/object/apply:os.system ['true']", "not well formed"),
        ("p.yaml", b"name: 2020-01-01", "name: input should be a valid string"),
        ("p.yaml", b"", "wanted a table of settings, got nothing"),
        ("p.yaml", b"a: &a {}\nschedule: {<<: *a}", "a merge key, <<, is not read"),
        ("p.yaml", b"1: 2", "unknown key '1'"),
        ("p.yaml", b"{a: 1}: 2", "not well formed"),
        ("p.yaml", b"a:\n\tb: 1", "that cannot start any token (at line 2, column 1)"),
        ("p.toml", 'name = "é"'.encode("latin-1"), "not in UTF-8 (byte 8); save it as UTF-8"),
        ("p.toml", 'name = "x"'.encode("utf-16"), "not in UTF-8"),
        ("p.txt", b"", "unknown format '.txt'; there are: .toml, .yaml, .yml, .json"),
    ],
    ids=lambda value: f"{len(value)} long" if len(value) > 200 else None,
)
def test_a_file_that_is_no_table_is_refused_by_its_name(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PolicyError) as caught:
        Policy.load(tmp_path / name)
    assert str(caught.value).startswith(str(tmp_path / name))
    assert message in str(caught.value)


def test_a_billion_laughs_are_refused_at_once(tmp_path):
    levels = "\n".join(f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 9)}]" for n in range(1, 40))
    (tmp_path / "p.yaml").write_text(f"x0: &x0 [ha]\n{levels}\nrules: *x39\n")
    with pytest.raises(PolicyError, match="more than 200,000 values"):
        Policy.load(tmp_path / "p.yaml")


@pytest.mark.parametrize("path", ["missing.toml", "", "."])
def test_a_path_that_is_no_file_is_refused(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PolicyError):
        as_policy(path)


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path):
    text = SCHEDULE + "[[rules]]\n"
    (tmp_path / "a.toml").write_text(text)
    (tmp_path / "b.toml").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert Policy.load(tmp_path / "a.toml") == Policy.load(tmp_path / "b.toml")


def test_the_schema_key_of_a_json_file_is_for_the_editor(tmp_path):
    table = {"$schema": "policy.schema.json", "schedule": {"kind": "one_shot", "final_sparsity": 0}}
    (tmp_path / "p.json").write_text(json.dumps(table))
    assert Policy.load(tmp_path / "p.json").schedule.final == 0


def test_an_adapter_that_is_disabled_may_stand_in_a_table_of_names():
    policy = {"rules": [{"match": {"name": {"torch": "a"}}, "prune": False}]}
    code = f"import secateur; secateur.Policy.parse({policy!r})"
    env = {**os.environ, "SECATEUR_DISABLE_PLUGINS": "torch"}
    subprocess.run([sys.executable, "-c", code], env=env, check=True)


ARRAY = {"fc": np.ones((2, 2))}
ONE_SHOT = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}


@pytest.mark.parametrize(
    "wrong",
    [None, 5, 0.5, True, [], [ONE_SHOT], (), b"p.toml", object(), Policy, 10**400, {"a"}],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("verb", [secateur.plan, secateur.prune, secateur.attach])
def test_what_is_no_policy_is_refused_by_every_verb(verb, wrong):
    with pytest.raises(PolicyError, match=r"^policy = .*wanted a Policy, a path") as caught:
        verb(ARRAY, wrong)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("wrong", [None, 5, "schedule = 3", [], b"x", Path("p.toml"), [("a", 1)]],
                         ids=str)  # fmt: skip
def test_parse_takes_a_mapping_alone(wrong):
    with pytest.raises(PolicyError, match=r"Policy.parse\(.*wanted a mapping"):
        Policy.parse(wrong)


@pytest.mark.parametrize("wrong", [None, 5, b"p.toml", {}, []], ids=str)
def test_load_takes_a_path_alone(wrong):
    with pytest.raises(PolicyError, match=r"Policy.load\(.*wanted the path"):
        Policy.load(wrong)


@pytest.mark.parametrize("take", [Policy.load, as_policy, lambda text: secateur.plan(ARRAY, text)])
@pytest.mark.parametrize("text", [SCHEDULE, "a: 1\nb: 2", '{\n "version": 1\n}'])
def test_the_text_of_a_policy_is_no_path(take, text):
    with pytest.raises(PolicyError, match="not the text of one"):
        take(text)


@pytest.mark.parametrize("path", ["x" * 10_000, "x" * 10_000 + ".toml", "x/" * 5000 + "a.toml",
                                  "package:" + "x" * 10_000, "a\ud800.toml", "\ud800"])  # fmt: skip
def test_a_path_of_any_shape_gets_a_short_error(path):
    with pytest.raises(PolicyError) as caught:
        Policy.load(path)
    assert len(str(caught.value)) < 500
    str(caught.value).encode()


CONSTRUCTED = {
    "no schedule": (lambda: Policy(), "^Policy: no schedule"),
    "unknown key": (lambda: Policy(shedule=1), "^Policy: unknown key 'shedule'.*'schedule'"),
    "rule in a policy": (
        lambda: Policy(**ONE_SHOT, rules=[{}, {"match": {"kind": "dens"}}]),
        r"^Policy: rule 2, match.kind\[0\]: 'dens'.*did you mean 'dense'",
    ),
    "rule": (lambda: Rule(match={"kind": "dens"}), r"^Rule: match.kind\[0\]: 'dens'"),
    "key of a rule": (lambda: Rule(prun=False), "^Rule: unknown key 'prun'"),
    "component": (lambda: Rule(pattern="blok"), "^Rule: pattern: no pattern 'blok'.*'block'"),
    "match": (lambda: Match(depth=[1, 0]), "^Match: depth = .* is empty"),
    "match of no table": (lambda: Rule(match=3), "^Rule: match: 3: input should be a table"),
    "positional": (lambda: Policy(ONE_SHOT), "by name; Policy.parse takes a mapping"),
    "positional rule": (lambda: Rule({}), "by name"),
}


@pytest.mark.parametrize("case", CONSTRUCTED)
def test_a_mistake_in_a_constructor_is_a_policy_error(case):
    make, message = CONSTRUCTED[case]
    with pytest.raises(PolicyError, match=message):
        make()


def test_constructors_take_what_the_file_takes():
    made = Policy(**ONE_SHOT, rules=[Rule(match=Match(kind="dense")), {"prune": False}])
    table = {**ONE_SHOT, "rules": [{"match": {"kind": "dense"}}, {"prune": False}]}
    assert made == Policy.parse(table)
    assert made.fingerprint == Policy.parse(table).fingerprint


class Tensor:
    """Stands for the tensor of a framework."""


Tensor.__module__ = "torch"


@pytest.mark.parametrize("verb", [secateur.plan, secateur.prune, secateur.attach])
@pytest.mark.parametrize("model", [
    {"0.weight": Tensor(), "0.bias": Tensor()}, OrderedDict(a=Tensor()), {"a": [[1.0]]},
    {"a": np.ones((2, 2)), "step": 3}, {"a": (Tensor(), "dense")},
], ids=["state dict", "ordered", "lists", "mixed", "with kinds"])  # fmt: skip
def test_a_mapping_of_something_else_than_arrays_says_what_to_pass(verb, model):
    with pytest.raises(ModelError, match="pass the model itself, or a mapping of arrays") as caught:
        verb(model, ONE_SHOT)
    wrong = next(name for name, value in model.items() if not isinstance(value, np.ndarray))
    assert repr(wrong) in str(caught.value)
