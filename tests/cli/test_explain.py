"""secateur explain: which rule decides a weight, and where each setting is written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import secateur

BASE = """
[schedule]
kind = "linear"
final_sparsity = 0.8
end_step = "50%"

[[rules]]
id = "stem"
match = { name = "conv" }
prune = false

[[rules]]
id = "rest"
criterion = "random"
"""
EDGE = """extends = "base.toml"
schedule = { final_sparsity = 0.9 }
[[rules]]
match = { kind = "embedding" }
pattern = { kind = "block", out = 2 }
"""


@pytest.fixture
def explained(run, npz, tmp_path):
    (tmp_path / "base.toml").write_text(BASE)
    (tmp_path / "edge.toml").write_text(EDGE)

    def explain(weight, *words):
        return run("explain", "edge.toml", npz.name, weight, *words)

    return explain


def test_each_setting_is_shown_with_its_file_and_line(explained):
    changes = ["--set", "rules.rest.schedule.end_step=40", "--set", "rules.rest.criterion.seed=7"]
    [weight] = explained("fc", *changes, "--json").json["weights"]
    assert (weight["name"], weight["rule"], weight["target"]) == ("fc:kernel", "rest", 0.9)
    found = {each["key"]: each for each in weight["settings"]}
    written = {
        "schedule": ("linear", "base", "base.toml", 3),
        "schedule.final_sparsity": (0.9, "file", "edge.toml", 2),
        "schedule.end_step": (40, "override", "--set", None),
        "schedule.begin_step": (0, "default", None, None),
        "criterion": ("random", "base", "base.toml", 14),
        "criterion.seed": (7, "override", "--set", None),
        "pattern": ("unstructured", "default", None, None),
    }
    for key, value in written.items():
        assert tuple(found[key][each] for each in ("value", "source", "file", "line")) == value
    assert [rule["unmet"] for rule in weight["rules"]] == [["kind is dense"], ["another name"], []]


def test_the_tables_name_the_rule_and_what_else_would_have_matched(explained):
    text = explained("conv", "--total-steps", "100").out
    assert "conv:kernel (conv, 8x3x3x3, 216 weights): rule stem (base.toml:7) decides" in text
    assert "prune    false  base.toml:10 (base)" in text
    assert "rest  base.toml:12  would match; an earlier rule decides" in text
    assert "schedule.frequency open default" in " ".join(explained("fc").out.split())
    assert "by score" not in explained("embed.weight").out
    assert "edge.toml:5" in explained("embed.weight").out


def test_a_glob_explains_several_weights_and_no_more_than_eight(explained, run, tmp_path, half):
    assert len(explained("*", "--json").json["weights"]) == 3
    np.savez(tmp_path / "m.npz", **{f"l{n:02}.weight": np.ones((2, 2)) for n in range(30)})
    outcome = run("explain", half, "m.npz", "l*")
    assert outcome.out.count("decides") == 16
    assert "and 22 more weights match" in outcome.out


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ("fx.kernel", "no weight of this numpy model is 'fx.kernel': did you mean"),
        ("conv.bias", "'conv.bias' is left dense, whatever a policy says: float32 of rank 1"),
        ("conv.b*", "'conv.b*' is left dense, whatever a policy says: conv.bias: float32"),
        ("", "no weight of this numpy model is '': there are: conv:kernel"),
        ("[" * 500, "no weight of this numpy model is '[["),
    ],
)
def test_a_weight_that_there_is_not_is_named(explained, weight, message):
    outcome = explained(weight)
    assert outcome.code == 1
    assert outcome.err.startswith(f"secateur: {message}")
    assert len(outcome.err) < 400


def test_rules_that_do_not_fit_the_model_are_notes():
    rules = [{"id": "gone", "match": {"kind": "rnn"}}, {"match": {"name": "a"}, "prune": False}]
    half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}, "rules": rules}
    found = secateur.explain({"a": np.ones((2, 2)), "b": np.ones((2, 2))}, half, "[ab]")
    assert "rule 1 ('gone')" in found.notes[0]
    assert [each.rule and each.rule.label for each in found.weights] == ["2", None]
    assert "no rule matches, so it stays dense" in str(found)
    assert str(found.weights[0].settings[0]) == "code"


def test_a_rule_that_a_file_cannot_answer_is_not_said_to_pass_a_weight_by(run, safetensors):
    Path("ends.toml").write_text(
        'schedule = { kind = "one_shot", final_sparsity = 0.5 }\n[[rules]]\nprune = false\n'
        'match = { position = "last", kind = "dense" }\n[[rules]]\n'
    )
    shown = run("explain", "ends.toml", safetensors, "fc").out
    assert "rule 1 may decide it; only the model says its position" in " ".join(shown.split())
    assert "may match: a file does not say the position of a weight" in shown
    assert "decides, unless an earlier rule does" in shown
    shown = run("explain", "ends.toml", safetensors, "conv").out
    assert "rule 2 (ends.toml:5) decides" in shown
    assert "does not match: kind is conv" in shown
