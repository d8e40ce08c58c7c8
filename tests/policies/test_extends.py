"""Policies that extend others: files, installed packages, ready policies."""

from __future__ import annotations

import sys

import numpy as np
import pytest

import secateur
from secateur.errors import PolicyError, PolicyWarning
from secateur.policy import ready as policies
from secateur.policy.policy import Policy, as_policy

BASE = """
[schedule]
kind = "one_shot"
final_sparsity = 0.5
[[rules]]
id = "stem"
match = { position = "first" }
prune = false
[[rules]]
id = "rest"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> None:
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(text)

    return write


def test_a_rule_with_the_same_id_takes_the_place_and_new_rules_go_first(folder):
    folder(base=BASE, edge='extends = "base.toml"\n[[rules]]\nid = "new"\n[[rules]]\nid = "stem"')
    rules = Policy.load("edge.toml").rules
    assert [rule.id for rule in rules] == ["new", "stem", "rest"]
    assert [rule.prune for rule in rules] == [True, True, True]


def test_keys_are_replaced_whole_through_a_chain_of_three(folder):
    folder(
        base=BASE,
        middle='extends = "base.toml"\ncriterion = "random"',
        top='extends = "middle.toml"\nschedule = { kind = "constant", final_sparsity = 0.7 }',
    )
    policy = Policy.load("top.toml")
    assert policy.schedule.to_dict()["kind"] == "constant"
    assert policy.criterion.kind == "random"
    assert len(policy.rules) == 2


def test_an_error_names_the_file_and_the_number_of_the_rule_there(folder):
    folder(base=BASE + "match = { kind = 3 }", edge='extends = "base.toml"\n[[rules]]\n[[rules]]')
    with pytest.raises(PolicyError, match=r"^base.toml: rule 2, match.kind"):
        Policy.load("edge.toml")
    folder(base=BASE, edge='extends = "base.toml"\nversion = 3\n[[rules]]\nx = 1')
    with pytest.raises(PolicyError) as caught:
        Policy.load("edge.toml")
    assert [line[:18] for line in str(caught.value).splitlines()] == [
        "edge.toml: version",
        "edge.toml: rule 1:",
    ]


def test_paths_are_relative_to_the_file_that_extends(folder, tmp_path):
    (tmp_path / "sub").mkdir()
    folder(base=BASE)
    (tmp_path / "sub" / "edge.toml").write_text('extends = "../base.toml"')
    assert len(Policy.load("sub/edge.toml").rules) == 2


def test_a_cycle_is_refused_and_shown(folder):
    folder(a='extends = "b.toml"', b='extends = "c.toml"', c='extends = "./b.toml"')
    with pytest.raises(
        PolicyError, match=r"a.toml extends itself: a.toml -> b.toml -> c.toml -> b.toml"
    ):
        Policy.load("a.toml")


def test_a_chain_of_sixteen_files_is_read_and_one_of_seventeen_refused(folder):
    folder(p0=BASE, **{f"p{n}": f'extends = "p{n - 1}.toml"' for n in range(1, 17)})
    assert len(Policy.load("p15.toml").rules) == 2
    with pytest.raises(PolicyError, match=r"p16.toml extends more than 16 files: p16.toml -> "):
        Policy.load("p16.toml")


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "site"
    (root / "team_policies" / "cnn").mkdir(parents=True)
    (root / "team_policies" / "__init__.py").write_text("raise RuntimeError('code was run')")
    (root / "team_policies" / "base.toml").write_text(BASE)
    (root / "team_policies" / "cnn" / "edge.toml").write_text('extends = "../base.toml"')
    (root / "team_policies" / "cnn" / "out.toml").write_text('extends = "../../secret.toml"')
    (root / "team_policies" / "cnn" / "abs.toml").write_text(f'extends = "{root}/secret.toml"')
    (root / "secret.toml").write_text(BASE)
    (root / "a_module.py").write_text("")
    monkeypatch.syspath_prepend(str(root))


@pytest.mark.usefixtures("package")
def test_a_policy_extends_one_of_an_installed_package_without_running_its_code(folder):
    folder(edge='extends = "package:team_policies/cnn/edge.toml"\nname = "mine"')
    policy = Policy.load("edge.toml")
    assert (policy.name, len(policy.rules)) == ("mine", 2)
    assert "team_policies" not in sys.modules


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize(
    "reference",
    [
        "package:team_policies/../secret.toml",
        "package:team_policies/cnn/out.toml",
        "package:team_policies/cnn/abs.toml",
        "package:../secret.toml",
        "package:/etc/passwd",
        "package:team_policies",
        "package:team_policies/",
        "package:team_policies//etc/passwd",
        "package:team_policies.cnn/edge.toml",
        "package:team_policies\\..\\secret.toml",
        "package:team_policies/~/x.toml",
        "package:missing/base.toml",
        "package:a_module/base.toml",
        "package:sys/base.toml",
        "package:__main__/base.toml",
        "package:team_policies/missing.toml",
        "package:team_policies/cnn",
        "package:",
    ],
)
def test_a_package_path_that_leads_nowhere_or_outside_is_refused(folder, reference):
    folder(edge=f"extends = '{reference}'")
    with pytest.raises(PolicyError):
        Policy.load("edge.toml")


@pytest.mark.parametrize("name", policies.names())
def test_a_ready_policy_loads_by_name_and_says_for_what_and_from_which_source(name):
    assert as_policy(name).name == name
    assert as_policy(name).rules
    assert "Source" in policies.about(name)
    assert "arXiv" in policies.about(name)


def test_a_ready_policy_can_be_extended(folder):
    folder(edge='extends = "cnn-80"\ndistribution = "global"')
    assert len(Policy.load("edge.toml").rules) == 3


def test_plugins_of_a_chain_add_up(folder):
    folder(base='plugins = ["missing-a"]' + BASE, edge='extends = "base.toml"\nplugins = ["keras"]')
    with pytest.raises(PolicyError, match="'missing-a', which is missing"):
        Policy.load("edge.toml")


IDS = {
    "a letter less": ("stm", "stem"),
    "a letter more": ("restt", "rest"),
    "another case": ("Stem", "stem"),
    "letters swapped": ("setm", "stem"),
}


@pytest.mark.parametrize("how", IDS)
def test_an_id_that_nearly_names_a_rule_of_the_base_is_told_by_a_warning(folder, how):
    misspelt, meant = IDS[how]
    folder(base=BASE, edge=f'extends = "base.toml"\n[[rules]]\nid = "{misspelt}"')
    with pytest.warns(PolicyWarning) as caught:
        policy = Policy.load("edge.toml")
    assert [rule.id for rule in policy.rules] == [misspelt, "stem", "rest"]
    (text,) = [str(each.message) for each in caught]
    assert text.startswith("edge.toml: rule 1 is new")
    assert f"one with the id {meant!r}" in text
    assert "base.toml" in text


@pytest.mark.parametrize("new", ["attention", "norms", "blocks"])
def test_an_id_of_its_own_is_not(folder, new):
    folder(base=BASE, edge=f'extends = "base.toml"\n[[rules]]\nid = "{new}"')
    assert Policy.load("edge.toml").rules[0].id == new


def test_nor_are_numbered_ids_or_one_next_to_the_rule_that_it_resembles(folder):
    folder(
        base=BASE.replace("stem", "block1"),
        edge='extends = "base.toml"\n[[rules]]\nid = "block2"',
        both='extends = "base.toml"\n[[rules]]\nid = "rest"\n[[rules]]\nid = "rests"',
    )
    assert len(Policy.load("edge.toml").rules) == 3
    assert len(Policy.load("both.toml").rules) == 3


def test_errors_of_a_plan_name_the_file_and_the_number_of_the_rule_there(folder):
    folder(
        base=BASE + 'match = { name = "nothing" }',
        edge='extends = "base.toml"\n[[rules]]\nrequired = false\nmatch = { name = "no" }',
    )
    with pytest.raises(PolicyError, match=r"^base.toml: rule 2 \('rest', rule 3 of the plan\)"):
        secateur.plan({"fc": np.ones((2, 2))}, "edge.toml")


def test_where_a_policy_is_written_makes_no_other_policy(folder):
    folder(base=BASE, same=BASE)
    one, two = Policy.load("base.toml"), Policy.load("same.toml")
    assert one == two == Policy.parse(one.to_dict())
    assert hash(one.rules) == hash(two.rules)


def test_rules_made_in_code_extend_and_are_extended(folder):
    folder(base=BASE)
    rules = (secateur.Rule(id="stem", prune=False), secateur.Rule(id="new", prune=False))
    policy = Policy.parse({"extends": "base.toml", "rules": rules})
    assert [rule.id for rule in policy.rules] == ["new", "stem", "rest"]
