"""Single settings changed from outside, and files that change a part of their bases."""

from __future__ import annotations

import pytest

from secateur.errors import PolicyError, PolicyWarning
from secateur.policy.policy import Policy
from secateur.policy.reading.overrides import parse_settings

BASE = """
name = "base"
[schedule]
kind = "polynomial"
final_sparsity = 0.8
end_step = 100
power = 2
[[rules]]
id = "stem"
match = { name = "a*", min_size = 2 }
prune = false
[[rules]]
match = { kind = "dense" }
[[rules]]
id = "köpfe"
pattern = { kind = "block", out = 2 }
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**texts: str) -> None:
        for name, text in texts.items():
            (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")

    write(base=BASE)
    return write


@pytest.mark.parametrize(
    ("key", "value", "plain"),
    [
        ("schedule.final_sparsity", 0.9, BASE.replace("0.8", "0.9")),
        ("schedule", {"end_step": 7}, BASE.replace("100", "7")),
        (
            "schedule",
            {"kind": "one_shot", "final_sparsity": 0.5},
            'schedule = { kind = "one_shot", final_sparsity = 0.5 }' + BASE[BASE.index("\n[[") :],
        ),
        ("rules.stem.prune", True, BASE.replace("prune = false", "")),
        ("rules.stem.match.min_size", 9, BASE.replace("min_size = 2", "min_size = 9")),
        ("rules.2.distribution", "erk", BASE.replace('"dense" }', '"dense" }\ndistribution="erk"')),
        ("rules.köpfe.pattern.in", 3, BASE.replace("out = 2", "out = 2, in = 3")),
        (
            "rules.'köpfe'.schedule.final_sparsity",
            0.1,
            BASE
            + 'schedule = { kind = "polynomial", final_sparsity = 0.1, end_step = 100, power = 2}',
        ),
        ("distribution", "global", 'distribution = "global"' + BASE),
        ("rules", [], BASE[: BASE.index("[[rules")]),
    ],
)
def test_an_override_is_the_equal_plain_policy(folder, key, value, plain):
    folder(plain=plain)
    changed = Policy.load("base.toml", overrides={key: value})
    assert changed.fingerprint == Policy.load("plain.toml").fingerprint
    assert changed.name is None


def test_a_setting_that_changes_nothing_keeps_the_name(folder):
    assert Policy.load("base.toml", overrides={"schedule.power": 2}).name == "base"
    assert Policy.load("base.toml", overrides={"name": "mine", "schedule.power": 3}).name == "mine"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("a=0.9", 0.9), ("a=true", True), ('a="x"', "x"), ("a=global", "global"), ("a=75%", "75%"),
        ("a=[1, 2]", [1, 2]), ("a={ b = 1 }", {"b": 1}), ("a = 1_000 ", 1000), ("a=enc.*", "enc.*"),
        ("a=1 # why", 1),
    ],
)  # fmt: skip
def test_a_setting_has_a_value_of_toml_or_a_word(setting, value):
    assert parse_settings([setting], "--set").values == {"a": value}


HOSTILE = {
    "schedule.final_sparsty=0.9": "--set: schedule: unknown key 'final_sparsty': did you mean",
    "schedul.final_sparsity=0.9": "--set: unknown key 'schedul': did you mean 'schedule'?",
    "schedule.final_sparsity=80": "--set: schedule.final_sparsity: 80: input should be less than",
    "rules.stm.prune=true": "--set rules: no rule 'stm': did you mean 'stem'? There are: 2, kö",
    "rules.stem.prun=true": "--set: rules.stem: unknown key 'prun': did you mean 'prune'?",
    "rules.stem.match.kinds=dense": "--set: rules.stem.match: unknown key 'kinds': did you",
    "rules.stem=3": "--set rules.stem: wanted a key of the rule to set, too",
    "rules=3": "--set: rules: 3: input should be a list",
    "rules=[3]": "--set: rule 1: 3: input should be a table",
    "schedule.final_sparsity=.9": "'.9': input should be a valid number; a sparsity is a fraction: "
    "write 0.9",
    "schedule.kind=one_shot": "--set: schedule.final_sparsity: field required",
    "schedule=[": "--set schedule: '[' is no value of TOML",
    "rules.stem.match.kind=[conv, dense]": """are quoted: '["conv", "dense"]', '"a b"'""",
    "rules.stem.match.name=enc dec": """are quoted: '["conv", "dense"]', '"a b"'""",
    "rules.my stem.prune=true": 'is quoted: rules."my id".prune',
    "a=1\nb=2": "--set a: '1\\nb=2': wanted one value",
    "final": "--set 'final': wanted KEY=VALUE",
    "=1": "--set '=1': wanted KEY=VALUE",
    "a..b=1": "--set 'a..b': wanted a dotted key",
    ".=1": "--set '.': wanted a dotted key",
    "extends=cnn-80": "--set extends: only a file can extend others",
    "schedule.points=" + "[" * 3000: "nested too deeply",
    "version=2": "--set: version: 2: input should be 1",
    'name="\\u0000' + "x" * 20_000 + '"': "--set: name: a text of 20,001 characters",
}


@pytest.mark.parametrize("setting", HOSTILE)
def test_a_setting_that_is_none_says_what_there_is(folder, setting):
    with pytest.raises(PolicyError) as caught:
        Policy.load("base.toml", overrides=parse_settings([setting], "--set"))
    assert HOSTILE[setting] in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ("schedule.points.1.1=0.9", "schedule.points"),
        ("rules.one.match.name.0=c", "rules.one.match.name"),
    ],
)
def test_a_list_is_set_whole_and_the_error_says_so(folder, setting, key):
    folder(
        lists="""schedule = { kind = "piecewise", points = [[0, 0.1], [9, 0.5]] }
[[rules]]
id = "one"
match = { name = ["a", "b"] }"""
    )
    with pytest.raises(PolicyError, match=f"--set {key} is a list, which is set whole: {key}="):
        Policy.load("lists.toml", overrides=parse_settings([setting], "--set"))
    Policy.load("lists.toml", overrides={"rules.one.match.name.torch": "x.*"})


def test_two_settings_may_not_contradict_each_other(folder):
    for overrides in ({"schedule": "x", "schedule.power": 3}, {"schedule.power": 3, "schedule": 1}):
        with pytest.raises(PolicyError, match="is set"):
            Policy.load("base.toml", overrides=overrides)
    with pytest.raises(PolicyError, match="wanted a mapping of dotted keys"):
        Policy.load("base.toml", overrides=[("schedule.power", 3)])


def test_a_default_that_no_rule_takes_is_named(folder):
    folder(own='[[rules]]\nschedule = { kind = "one_shot", final_sparsity = 0.5 }')
    with pytest.warns(PolicyWarning, match=r"final_sparsity changes nothing: every"):
        Policy.load(
            "own.toml", overrides={"schedule.kind": "one_shot", "schedule.final_sparsity": 0.9}
        )


def test_a_table_of_one_key_changes_that_key_of_the_base(folder):
    folder(
        one='extends = "base.toml"\n[schedule]\nfinal_sparsity = 0.9',
        same='extends = "base.toml"\n[schedule]\nkind = "polynomial"\nfinal_sparsity = 0.9',
        plain=BASE.replace("0.8", "0.9"),
        other='extends = "base.toml"\n[schedule]\nkind = "linear"\nfinal_sparsity = 0.9',
        wrong='extends = "base.toml"\n[schedule]\nfinal_sparsity = 90',
    )
    prints = {Policy.load(f"{name}.toml").fingerprint for name in ("one", "same", "plain")}
    assert len(prints) == 1
    with pytest.raises(PolicyError, match=r"^other.toml: schedule.end_step: field required$"):
        Policy.load("other.toml")
    with pytest.raises(PolicyError, match=r"^wrong.toml: schedule.final_sparsity: 90: "):
        Policy.load("wrong.toml")
    folder(far='extends = "one.toml"\n[schedule]\npower = 0')
    with pytest.raises(PolicyError, match=r"^far.toml: schedule.power: 0"):
        Policy.load("far.toml")


def test_a_changed_policy_does_not_keep_the_name_of_its_base(folder):
    folder(same='extends = "base.toml"', other='extends = "base.toml"\ndistribution = "erk"')
    assert [Policy.load(f"{name}.toml").name for name in ("same", "other")] == ["base", None]


def test_of_several_bases_the_later_wins_and_a_shared_one_counts_once(folder):
    folder(
        a='extends = "base.toml"\n[[rules]]\nid = "stem"\nmatch = { name = "z" }\nprune = false',
        b='extends = "base.toml"\ndistribution = "lamp"\n[schedule]\nend_step = 50',
        c='criterion = "random"\ndistribution = "erk"',
        top="""extends = ["a.toml", "b.toml", "c.toml"]
[[rules]]
id = "new"
match = { name = "b" }""",
    )
    policy = Policy.load("top.toml")
    assert [rule.id for rule in policy.rules] == ["new", "stem", None, "köpfe"]
    assert policy.rules[1].match.name == ("z",)
    assert (policy.distribution.kind, policy.criterion.kind) == ("erk", "random")
    assert (policy.schedule.end_step, policy.schedule.power, policy.name) == (50, 2, None)
    assert [path.name for path in policy.files] == [
        *("top.toml", "c.toml", "b.toml", "a.toml", "base.toml"),
    ]
    assert Policy.load("top.toml") == Policy.parse(policy.to_dict())


@pytest.mark.parametrize(
    ("extends", "message"),
    [
        ("['a.toml', 3]", "wanted the path of a policy file, or a list of them"),
        ("['a.toml', 'gone.toml']", "gone.toml: no such policy file; top.toml extends it"),
        ("['a.toml', 'top.toml']", "top.toml extends itself: top.toml -> top.toml"),
        ("['']", "wanted the path of a policy file, or a list of them"),
    ],
)
def test_a_list_of_bases_is_refused_where_one_is_wrong(folder, extends, message):
    folder(a="version = 1", top=f"extends = {extends}")
    with pytest.raises(PolicyError, match=message):
        Policy.load("top.toml")


def test_bases_that_multiply_are_read_once_and_too_many_are_refused(folder):
    folder(
        p0=BASE,
        **{f"p{n}": f'extends = ["p{n - 1}.toml", "./p{n - 1}.toml"]' for n in range(1, 15)},
    )
    assert len(Policy.load("p14.toml").rules) == 3
    names = [f"q{n}" for n in range(70)]
    folder(many=f"extends = {[f'{name}.toml' for name in names]}", **dict.fromkeys(names, ""))
    with pytest.raises(PolicyError, match=r"many.toml extends more than 64 files"):
        Policy.load("many.toml")
