"""The JSON Schema agrees with the parser on good and on bad policy files."""

from __future__ import annotations

import json
import tomllib
from functools import cache

import jsonschema
import pytest

import secateur
from secateur.errors import PolicyError
from secateur.policy import ready as policies
from secateur.policy.policy import Policy
from secateur.policy.schema import policy_schema

GOOD = {
    **{name: policies.text(name) for name in policies.names()},
    "a_name_for_a_component": 'schedule = { kind = "one_shot", final_sparsity = 0.5 }\n'
    'criterion = "random"\npattern = "channel"',
    "every_condition": 'schedule = { kind = "one_shot", final_sparsity = 1 }\n'
    '[[rules]]\nid = "a"\nrequired = false\n'
    'match = { kind = "rnn", role = ["kernel"], position = "last", depth = [0, 0.5], '
    'min_size = 1, max_size = 9, name = { torch = "a*", keras = ["b", "c"] } }',
    "waiting": '[schedule]\nkind = "constant"\nfinal_sparsity = 0.5\nbegin_step = "12.5%"\n'
    'begin_when = { monitor = "loss", mode = "max" }',
    "points": '[schedule]\nkind = "piecewise"\npoints = [[0, 0.1], ["50%", 0.5]]',
}
BAD = {
    "unknown_key": "shedule = 1",
    "unknown_key_of_a_rule": "[[rules]]\nprune = false\nprun = true",
    "unknown_key_of_a_match": "[[rules]]\nprune = false\nmatch = { knd = 'conv' }",
    "unknown_key_of_a_schedule": '[schedule]\nkind = "one_shot"\nfinal_sparsity = 0.5\nfrequency=1',
    "unknown_kind": "schedule = { kind = 'sine', final_sparsity = 0.5 }",
    "no_kind": "schedule = { final_sparsity = 0.5 }",
    "kind_of_another_family": "criterion = 'one_shot'",
    "missing_sparsity": "schedule = 'one_shot'",
    "sparsity_in_percent": "schedule = { kind = 'one_shot', final_sparsity = 80 }",
    "sparsity_as_text": "schedule = { kind = 'one_shot', final_sparsity = '0.8' }",
    "sparsity_as_a_boolean": "schedule = { kind = 'one_shot', final_sparsity = true }",
    "step_below_zero": "schedule = { kind = 'one_shot', final_sparsity = 0.8, begin_step = -1 }",
    "share_above_the_whole": "schedule = { kind = 'one_shot', final_sparsity = 0.8, "
    "begin_step = '101%' }",
    "n_m_of_none": "pattern = { kind = 'n_m', keep = 0, of = 4 }",
    "wrong_version": "version = 2",
    "wrong_kind_of_weight": "[[rules]]\nprune = false\nmatch = { kind = 'linear' }",
    "depth_of_three": "[[rules]]\nprune = false\nmatch = { depth = [0, 0.5, 1] }",
    "negative_size": "[[rules]]\nprune = false\nmatch = { min_size = -1 }",
    "rules_no_list": "[rules]\nprune = false",
    "extends_no_text": "extends = 3",
}


def validator() -> jsonschema.Draft202012Validator:
    schema = policy_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


built_in = cache(validator)


@pytest.mark.parametrize("name", GOOD)
def test_the_schema_takes_what_the_parser_takes(name):
    table = tomllib.loads(GOOD[name])
    assert list(built_in().iter_errors(table)) == []
    if "extends" not in table:
        Policy.parse(table)


@pytest.mark.parametrize("name", BAD)
def test_the_schema_refuses_what_the_parser_refuses(name):
    table = tomllib.loads(BAD[name])
    assert not built_in().is_valid(table)
    with pytest.raises(PolicyError):
        Policy.parse({"schedule": {"kind": "one_shot", "final_sparsity": 0.5}, **table})


@pytest.mark.parametrize("name", policies.names())
def test_a_dumped_policy_is_valid_by_the_schema(tmp_path, name):
    Policy.load(name).dump(tmp_path / "p.json")
    assert built_in().is_valid(json.loads((tmp_path / "p.json").read_text()))


def tables(schema):
    yield schema
    yield from schema["$defs"].values()


def test_it_describes_tables_and_keys_without_examples_in_python():
    schema = policy_schema()
    for table in tables(schema):
        assert table["description"]
        assert not {">>>", "Attributes:", "Example:"} & set(table["description"].split())
    match = schema["$defs"]["Match"]["properties"]
    assert "frozen" in match["trainable"]["description"]
    waiting = schema["$defs"]["schedule.linear.BeginWhen"]["properties"]
    assert all("description" in each for each in waiting.values())
    assert "description" in schema["$defs"]["schedule.linear"]["properties"]["end_step"]


def test_it_holds_the_parameters_of_a_plugin_as_strictly_as_the_built_ins():
    class Stairs(secateur.Schedule):
        """Go down in steps."""

        kind = "stairs"
        height: secateur.Sparsity

    class Complete(Stairs):
        @property
        def final(self):
            return self.height

        def sparsity(self, step):
            return self.height

        def updates_at(self, step):
            return True

    class Plugin:
        @secateur.hookimpl
        def secateur_schedules(self):
            return [Complete]

    assert not validator().is_valid({"schedule": {"kind": "stairs", "height": 0.5}})
    secateur.register(Plugin(), "stairs")
    try:
        assert validator().is_valid({"schedule": {"kind": "stairs", "height": 0.5}})
        assert not validator().is_valid({"schedule": {"kind": "stairs", "height": 1.5}})
        assert not validator().is_valid({"schedule": {"kind": "stairs", "hight": 0.5}})
        for wrong, why in (("1.5", "1.5: input should be less"), ('"x"', "'x': input should be")):
            table = tomllib.loads(f"schedule = {{ kind = 'stairs', height = {wrong} }}")
            with pytest.raises(PolicyError, match=f"policy: schedule.height: {why}"):
                Policy.parse(table)
    finally:
        secateur.unregister("stairs")
