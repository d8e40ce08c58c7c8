"""secateur.check: every fault of a policy, and what is legal and was surely meant otherwise."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import secateur
from secateur.errors import ModelError, PolicyError
from secateur.policy import ready
from secateur.policy.match import Candidates, Match
from secateur.review.shadows import covers, shadowed
from tests.nets.test_policies import JUNK, POLICIES, damaged

HALF = {"kind": "one_shot", "final_sparsity": 0.5}
RAMP = {"kind": "polynomial", "final_sparsity": 0.8, "end_step": 1000}
MODEL = {"a": np.ones((4, 8)), "b": np.ones((16, 3, 3, 3)), "out": np.ones((1, 4))}


def texts(findings: tuple[secateur.Finding, ...]) -> str:
    return "\n".join(each.text for each in findings)


HIDDEN = """
[schedule]
kind = "polynomial"
final_sparsity = 80
begin_step = "90%"
end_step = "10%"

[[rules]]
match = { position = "middle", depth = [0.8, 0.2] }
pattern = { kind = "n_m", keep = 2, of = 4 }
distribution = { kind = "threshold", value = "x" }

[[rules]]

[[rules]]
id = "late"
match = { kind = "dens" }
schedule = { kind = "linear", final_sparsity = 0.5, end_step = 50, begin_step = "10%" }
pattern = { kind = "n_m", keep = 2, of = 4 }

[[rules]]
id = "never"
match = { kind = "conv" }
schedule = { kind = "linear" }
"""


def test_a_fault_does_not_hide_another_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p.toml").write_text(HIDDEN)
    found = secateur.check("p.toml", total_steps=1000)
    at = [(each.line, each.text.partition(": ")[2][:25]) for each in found.problems]
    assert at == [
        (4, "80: input should be less "),
        (6, 'end_step = "10%" is befor'),
        (9, "'middle': input should be"),
        (9, "depth = [0.8, 0.2] is emp"),
        (11, "'x': input should be a va"),
        (17, "'dens': input should be '"),
        (24, "field required"),
        (24, "field required"),
        (15, "pattern 'n_m' has a fixed"),
        (21, "decides no weight: all th"),
    ]


BAD = """
nam = "x"
verson = 1
[schedule]
kind = "one_shot"
final_sparsty = 0.8
begin_step = -1

[[rules]]
match = { kind = "dens", role = "x" }

[[rules]]
schedule = { kind = "linear", final_sparsity = 0.5, end_step = 5 }
pattern = { kind = "n_m", keep = 2, of = 4 }

[[rules]]
id = "a"

[[rules]]
id = "a"
"""


def test_every_fault_is_found_with_its_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text('extends = ["gone.toml", "cnn-81"]' + BAD)
    found = secateur.check("bad.toml")
    at = [(each.file, each.line, each.text[:30]) for each in found.problems]
    assert at == [
        ("gone.toml", None, "no such policy file; bad.toml "),
        ("bad.toml", None, "extends: no ready policy 'cnn-"),
        ("bad.toml", 20, "rule 4, id: 'a' is the id of r"),
        ("bad.toml", 2, "unknown key 'nam': did you mea"),
        ("bad.toml", 3, "unknown key 'verson': did you "),
        ("bad.toml", 6, "schedule: unknown key 'final_s"),
        ("bad.toml", 7, "schedule.begin_step: -1: must "),
        ("bad.toml", 10, "rule 1, match.kind[0]: 'dens':"),
        ("bad.toml", 10, "rule 1, match.role[0]: 'x': in"),
        ("bad.toml", 12, "rule 2: pattern 'n_m' has a fi"),
        ("bad.toml", 16, "rule 'a': decides no weight: a"),
        ("bad.toml", 19, "rule 'a': decides no weight: a"),
    ]
    assert (found.ok, found.fingerprint) == (False, None)
    assert "bad.toml: 12 problems" in str(found)


@pytest.mark.parametrize("name", ready.names())
def test_a_ready_policy_has_neither_problems_nor_warnings(name):
    assert not secateur.check(name, total_steps=10_000).findings


LEGAL = {
    "two kinds of steps": ({"schedule": {**RAMP, "begin_step": "10%", "end_step": 75}}, "75%"),
    "everything": ({"schedule": {**HALF, "final_sparsity": 1}}, "prunes every weight"),
    "falling": ({"schedule": {**RAMP, "initial_sparsity": 0.9}}, "other way round"),
    "another n_m": (
        {
            "schedule": {**HALF, "final_sparsity": 0.8},
            "pattern": {"kind": "n_m", "keep": 2, "of": 4},
        },
        "write final_sparsity = 0.5",
    ),
    "block of one": ({"schedule": HALF, "pattern": "block"}, "a block of 1 x 1"),
    "kind without the role": (
        {"schedule": HALF, "rules": [{"match": {"kind": "conv", "role": "query"}}]},
        "has the role kernel, never query",
    ),
    "an empty list": ({"schedule": HALF, "rules": [{"match": {"name": []}}]}, "matches nothing"),
    "shadowed by two": (
        {
            "schedule": HALF,
            "rules": [
                {"match": {"kind": "conv"}},
                {"match": {"kind": "dense"}},
                {"match": {"kind": ["dense", "conv"], "min_size": 10}},
            ],
        },
        "rule 3: decides no weight: all that it matches, rule 1, rule 2 decides",
    ),
}  # fmt: skip
DOUBTFUL = {
    "a hundredth": ({"schedule": {**HALF, "final_sparsity": 0.008}}, "prunes 0.8 %"),
    "nothing": ({"schedule": {**HALF, "final_sparsity": 0}}, "prunes nothing"),
    "few updates": ({"schedule": {**RAMP, "frequency": 5000}}, "only 2 times"),
    "endless waiting": (
        {"schedule": {**RAMP, "begin_when": {"monitor": "loss"}}}, "begin_when without latest",
    ),
    "dense with a pattern": (
        {"schedule": HALF, "rules": [{"match": {"kind": "conv"}, "prune": False,
                                      "pattern": "channel"}, {}]},
        "beside prune = false",
    ),
    "nothing at all": ({"schedule": HALF, "rules": [{"prune": False}]}, "no rule prunes"),
    "a ramp of no length": (
        {"schedule": {**RAMP, "begin_step": "10%", "end_step": "10%"}}, "at the same step",
    ),
    "a default of nobody": ({"schedule": HALF, "rules": [{"schedule": RAMP}]}, "never used"),
    "a regular expression": (
        {"schedule": HALF, "rules": [{"match": {"name": r"layers\.\d+"}}]}, "regular expression",
    ),
    "a bias": ({"schedule": HALF, "rules": [{"match": {"name": "*.bias"}}]}, "never pruned"),
    "ranked apart": (
        {"schedule": HALF, "distribution": "global",
         "rules": [{"match": {"kind": "conv"}}, {"match": {"kind": "dense"}}]},
        "rules 1, 2 each rank their own weights",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", [*LEGAL, *DOUBTFUL])
def test_what_is_legal_and_meant_otherwise_is_found(case):
    table, text = {**LEGAL, **DOUBTFUL}[case]
    secateur.Policy.parse(table)
    found = secateur.check(table)
    assert text in texts(found.problems if case in LEGAL else found.warnings)
    assert len(found.findings) == 1


def test_with_the_length_of_the_run_schedules_are_followed_to_their_end():
    assert "reaches sparsity 0.7" in texts(
        secateur.check({"schedule": RAMP}, total_steps=500).problems
    )
    assert not secateur.check({"schedule": RAMP}, total_steps=1000).findings
    share = {**RAMP, "begin_step": "10%", "end_step": "11%"}
    assert "the run is too short" in texts(
        secateur.check({"schedule": share}, total_steps=20).problems
    )
    early = secateur.check({"schedule": {**RAMP, "end_step": 75}}, total_steps=100_000)
    assert '"75%" is a share of the run' in texts(early.warnings)


def test_a_misspelt_id_and_a_rule_that_replaces_nothing_are_problems(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    base = '[[rules]]\nid = "stem"\nmatch = { kind = "conv" }\nprune = false\n[[rules]]\n'
    (tmp_path / "base.toml").write_text(
        f'schedule = {{ kind = "constant", final_sparsity = 0.5 }}\n{base}'
    )
    (tmp_path / "edge.toml").write_text('extends = "base.toml"\n[[rules]]\nid = "stm"')
    with warnings.catch_warnings(action="error"):
        found = secateur.check("edge.toml")
    assert [(each.file, each.line) for each in found.problems] == [
        ("edge.toml", 2),
        ("base.toml", 2),
    ]
    assert "one with the id 'stem'" in found.problems[0].text
    assert "give that rule the id 'stem'" in found.problems[1].text
    [warning] = found.warnings  # a rule without an id cannot be replaced, only preceded
    assert (warning.file, warning.line) == ("base.toml", 6)
    (tmp_path / "last.toml").write_text(
        'extends = "edge.toml"\n[[rules]]\nid = "stem"\nmatch = { kind = "dense" }'
    )
    [problem] = secateur.check("last.toml").problems[-1:]  # which replaces a rule in its place
    assert problem.text.endswith("all that it matches, rule 'stm' (edge.toml:2) decides before")
    [problem] = secateur.check("../" + tmp_path.name).problems
    assert "this is a folder; give the policy files in it" in problem.text


def test_what_a_missing_base_would_hold_is_not_missed_besides(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = ['extends = "gone.toml"', "pattern = { out = 4 }", "[schedule]", "final_sparsity = 0.9"]
    (tmp_path / "mine.toml").write_text("\n".join([*lines, "[[rules]]", "prune = 3"]))
    found = [str(each) for each in secateur.check("mine.toml").problems]
    assert found == [
        "gone.toml: problem: no such policy file; mine.toml extends it",
        "mine.toml:6: problem: rule 1, prune: 3: input should be a valid boolean",
    ]


def test_bases_that_contradict_each_other_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, share in (("a", 0.5), ("b", 0.6)):
        text = f'schedule = {{ kind = "one_shot", final_sparsity = {share} }}'
        (tmp_path / f"{name}.toml").write_text(text)
    (tmp_path / "c.toml").write_text('extends = ["a.toml", "b.toml"]\ndistribution = "erk"')
    found = secateur.check("c.toml")
    assert [each.text for each in found.warnings] == [
        "a.toml and b.toml both set schedule.final_sparsity; the later wins"
    ]
    (tmp_path / "d.toml").write_text(
        f'extends = "{tmp_path}/c.toml"\nschedule.final_sparsity = 0.9'
    )
    assert "a path of one machine" in texts(secateur.check("d.toml").warnings)


def test_on_models_every_rule_that_does_not_fit_is_named():
    rules = [{"match": {"name": "aa"}}, {"match": {"kind": "rnn"}}, {"match": {"name": "a"}}]
    found = secateur.check({"schedule": HALF, "rules": rules}, models=[MODEL])
    assert "Did you mean 'a'?" in found.problems[0].text
    assert "Each kind that it has: conv, dense" in found.problems[1].text
    assert "no rule matches b, out, which are 93% of the weights" in texts(found.warnings)
    (model,) = found.models
    assert (model.name, model.kept, model.size, model.at_most) == ("model 1", 452, 468, False)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"pattern": {"kind": "n_m", "keep": 2, "of": 4}}, "in = 3 is no multiple of 4"),
        ({"pattern": {"kind": "n_m", "keep": 3, "of": 6}}, "in = 3: 3 of 6 prunes nothing: b"),
        ({"pattern": {"kind": "block", "out": 4}}, "out = 1: smaller than a block of 4: out"),
        ({"pattern": "channel"}, "prunes whole outputs of the model: out"),
        ({"pattern": "channel"}, "prunes all there is of out"),
        ({"rules": [{"match": {"kind": "dense"}}, {"match": {"name": "a"}}, {}]},
         "rule 2: decides no weight of model 1, model 2: rule 1 comes first"),
        ({"rules": [{"match": {"name": "x"}, "required": False}, {}]}, "no weight of model 1"),
        ({"rules": [{"match": {"name": "y"}, "required": False}, {}]}, "no weight of any model"),
    ],
)  # fmt: skip
def test_on_models_what_nobody_means_is_found(settings, text):
    twin = {**MODEL, "x": np.ones((4, 4))}
    table = {"schedule": HALF, **settings}
    findings = secateur.check(table, models=[MODEL, dict(reversed(twin.items()))]).findings
    assert text in texts(findings)


def test_what_is_given_otherwise_is_refused():
    with pytest.raises(ModelError, match="wanted a list of models"):
        secateur.check("cnn-80", models=MODEL)
    with pytest.raises(PolicyError, match="total_steps=0"):
        secateur.check("cnn-80", total_steps=0)
    with pytest.raises(PolicyError, match="policy = 3: wanted"):
        secateur.check(3)


@pytest.mark.filterwarnings("ignore::UserWarning")
@given(JUNK | damaged() | POLICIES)
def test_it_finds_a_problem_in_whatever_is_refused_and_never_fails_itself(table):
    if not isinstance(table, dict):
        return
    try:
        policy = secateur.Policy.parse(table)
    except PolicyError:
        policy = None
    found = secateur.check(table, models=[MODEL])
    assert found.ok is False or policy is not None
    assert found.fingerprint == (policy and policy.fingerprint)
    assert len(str(found)) < 100_000


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "kind": st.lists(st.sampled_from(["dense", "conv"]), min_size=1, max_size=2),
        "name": st.lists(
            st.sampled_from(["*", "a*", "a?", "*b", "a", "[ab]", "a*b", "ab*"]),
            min_size=1,
            max_size=2,
        ),
        "min_size": st.integers(0, 40),
        "max_size": st.integers(40, 80),
        "position": st.sampled_from(["first", "last"]),
        "depth": st.sampled_from([[0, 1], [0, 0.5], [0.5, 1], [0, 0], [1, 1]]),
        "trainable": st.booleans(),
        "role": st.just("kernel"),
    },
)


@given(CONDITIONS, CONDITIONS)
def test_a_match_that_covers_another_one_matches_all_that_it_does(wide, narrow):
    one, other = Match(**wide), Match(**narrow)
    if covers(one, other):
        assert selected(other) <= selected(one)
    assert covers(other, other)


@given(st.lists(CONDITIONS, min_size=2, max_size=5))
def test_a_rule_that_is_called_shadowed_decides_no_weight(conditions):
    rules = [{"match": each, "required": False} for each in conditions]
    policy = secateur.Policy.parse({"schedule": HALF, "rules": rules})
    for rule, others in shadowed(policy.resolved_rules):
        assert selected(rule.match) <= set().union(*(selected(each.match) for each in others))


@pytest.mark.parametrize(
    ("earlier", "narrow"),
    [
        ([{"depth": [0, 0.5]}, {"depth": [0.5, 1]}], {"kind": "dense"}),
        ([{"trainable": True}, {"trainable": False}], {"kind": "dense"}),
        ([{"min_size": 100}, {"max_size": 99}], {"min_size": 7}),
        ([{"role": ["kernel", "recurrent"]}], {"kind": ["conv", "dense"]}),
        ([{"depth": [0, 0]}], {"position": "first"}),
        ([{"position": "last"}], {"depth": [1, 1]}),
    ],
)
def test_rules_that_match_all_of_another_one_together_shadow_it(earlier, narrow):
    def shadows(*matches):
        table = {"schedule": HALF, "rules": [{"match": each} for each in matches]}
        return [rule.number for rule, _ in shadowed(secateur.Policy.parse(table).resolved_rules)]

    assert shadows(*earlier, narrow) == [len(earlier) + 1]
    assert shadows(*earlier[1:], narrow) == []


def selected(match):
    names = ["a", "b", "ab", "abb", "ba", "a.b", "?", "a*"]
    specs = [
        secateur.WeightSpec(
            name, kind, "kernel", (size, 4), "float32", name, trainable=size % 3 > 0
        )
        for name, kind, size in zip(names, ["dense", "conv"] * 4, range(6, 20, 2), strict=False)
    ]
    candidates = Candidates(specs, [spec.layer for spec in specs])
    return set(match.select(candidates, "numpy"))
