"""Kinds of weights that plugins add: checked, refused when taken, and known everywhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import secateur
from secateur.cli import app
from secateur.errors import PluginError
from secateur.kinds import BUILTIN_KINDS, kind_named, kind_names, role_names
from secateur.policy.schema import policy_schema

HALF = {"kind": "one_shot", "final_sparsity": 0.5}


def plugin(*kinds):
    class Plugin:
        @secateur.hookimpl
        def secateur_kinds(self):
            return [make() if callable(make) else make for make in kinds]

    return Plugin()


CAPSULE = secateur.Kind("capsule", ranks=(4,), roles=("kernel", "vote"), out_axis=2, in_axis=3)


@pytest.mark.parametrize("name", [kind.name for kind in BUILTIN_KINDS])
def test_a_name_that_is_taken_is_refused_and_both_plugins_are_named(name):
    before = kind_named(name), kind_names()
    with pytest.raises(PluginError) as caught:
        secateur.register(plugin(secateur.Kind(name, ranks=(2,))), "greedy")
    message = str(caught.value)
    assert message.startswith("plugin 'greedy' cannot be registered: ")
    assert f"the kind {name!r} is registered already, by plugin 'builtin' of secateur" in message
    assert (kind_named(name), kind_names()) == before


def test_a_name_of_another_plugin_is_refused_and_both_are_named(registered):
    registered(plugin(CAPSULE))
    with pytest.raises(PluginError, match=r"'second' .* by plugin 'test 0'"):
        secateur.register(plugin(CAPSULE), "second")
    with pytest.raises(PluginError, match="provides the kind 'twice' twice"):
        secateur.register(plugin(*2 * [secateur.Kind("twice", ranks=(2,))]), "third")


WRONG = {
    "name": {"name": "no name"},
    "name_not_text": {"name": 3},
    "name_empty": {"name": ""},
    "name_reserved": {"name": "skip"},
    "ranks": {"ranks": ()},
    "ranks_number": {"ranks": 4},
    "ranks_text": {"ranks": "4"},
    "ranks_negative": {"ranks": (-1,)},
    "ranks_huge": {"ranks": (65,)},
    "ranks_fraction": {"ranks": (4.0,)},
    "ranks_bool": {"ranks": (True,)},
    "roles": {"roles": ()},
    "roles_text": {"roles": "kernel"},
    "role_not_text": {"roles": (3,)},
    "role_no_name": {"roles": ("a role",)},
    "axes_equal": {"out_axis": 1, "in_axis": 1},
    "axis_negative": {"out_axis": -1},
    "axis_outside": {"in_axis": 4},
    "axis_fraction": {"in_axis": 1.0},
    "axis_none": {"in_axis": None},
}


@pytest.mark.parametrize("case", WRONG)
def test_a_kind_of_wrong_values_is_refused_with_the_plugins_name(case):
    settings = {"name": "capsule", "ranks": (4,), **WRONG[case]}
    with pytest.raises(ValueError, match="kind"):
        secateur.Kind(**settings)
    with pytest.raises(PluginError, match=r"plugin 'wrong' .*secateur_kinds raised ValueError: "):
        secateur.register(plugin(lambda: secateur.Kind(**settings)), "wrong")
    assert "capsule" not in kind_names()


def test_lists_do_for_tuples():
    assert secateur.Kind("capsule", ranks=[4], roles=["vote"]).ranks == (4,)
    assert hash(secateur.Kind("capsule", ranks=[4], roles=["vote"]))


@pytest.mark.parametrize("part", ["capsule", secateur.Kind, None, ("capsule", (4,))])
def test_what_is_no_kind_is_refused(part):
    class Plugin:
        @secateur.hookimpl
        def secateur_kinds(self):
            return [part]

    with pytest.raises(PluginError, match=r"secateur_kinds returned .*; wanted a Kind"):
        secateur.register(Plugin(), "wrong")


def test_a_policy_knows_the_kinds_and_roles_of_plugins(registered):
    rule = {"match": {"kind": "capsul", "role": "votes"}}
    registered(plugin(CAPSULE))
    with pytest.raises(secateur.PolicyError) as caught:
        secateur.Policy.parse({"schedule": HALF, "rules": [rule]})
    message = str(caught.value)
    assert "or 'capsule'; did you mean 'capsule'?" in message
    assert "or 'vote'; did you mean 'vote'?" in message
    schema = policy_schema()["$defs"]["Match"]["properties"]
    for key, name in (("kind", "capsule"), ("role", "vote")):
        assert name in json.dumps(schema[key])


def test_the_schema_forgets_a_kind_that_was_unregistered():
    secateur.register(plugin(CAPSULE), "capsules")
    secateur.unregister("capsules")
    assert "capsule" not in json.dumps(policy_schema())
    assert "vote" not in role_names()
    assert kind_named("capsule") is CAPSULE  # for models that were bound before


def test_the_command_line_takes_the_kinds_of_plugins(registered, tmp_path):
    np.savez(tmp_path / "m.npz", caps=np.ones((1, 2, 3, 4)), fc=np.ones((4, 4)))
    policy = tmp_path / "p.json"
    policy.write_text(json.dumps({"schedule": HALF, "rules": [{"match": {"kind": "dense"}}]}))

    def plan(kind):
        arguments = ["plan", str(policy), str(tmp_path / "m.npz"), "--kind", f"caps={kind}"]
        return CliRunner().invoke(app, [*arguments, "--json"])

    unknown = plan("capsule")
    assert unknown.exit_code
    registered(plugin(CAPSULE))
    result = plan("capsule")
    assert not result.exit_code
    weights = {weight["name"]: weight["kind"] for weight in json.loads(result.stdout)["weights"]}
    assert weights == {"caps": "capsule", "fc": "dense"}
    assert plan("capsul").exit_code
