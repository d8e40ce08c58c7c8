"""What a plan shows: what stays dense, what is tied or frozen, and what probably goes wrong."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest

import secateur
from secateur.adapter import (
    Collected,
    Found,
    LayerWeight,
    PairedBinding,
    Skipped,
    Weight,
    WeightSpec,
    collect,
    layer_order,
)
from secateur.errors import ModelError, PolicyError, PolicyWarning, ScheduleWarning
from secateur.policy.policy import Policy
from secateur.run.resolve import resolve

HALF = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
SHAPES = {"embedding": (8, 4), "dense": (4, 4)}


class Ones(Weight):
    """A weight of ones."""

    def __init__(self, spec: WeightSpec) -> None:
        self.spec = spec

    def read(self):
        return np.ones(self.spec.shape, np.float32)


class Model(PairedBinding):
    """A bound model that is described by its specs alone."""

    adapter = "numpy"

    def native_mask(self, weight, mask):
        return mask

    def zero(self, pairs):
        return pairs


def spec(name: str, kind: str = "dense", **more) -> WeightSpec:
    layer, _, role = name.rpartition(":")
    return WeightSpec(name, kind, role, SHAPES[kind], "float32", layer, **more)


def model(*specs: WeightSpec, skipped=(), **attributes) -> Model:
    binding = Model([Ones(each) for each in specs], skipped)
    vars(binding).update(attributes)
    return binding


def planned(rules: list, binding: Model, **settings) -> dict[str, int | None]:
    """Return the rule that decides each weight."""
    plan = resolve(Policy.parse({**HALF, **settings, "rules": rules}), binding)
    return {each.spec.name: each.rule for each in plan.weights}


# What stays dense has a size.


def test_a_plan_says_how_many_parameters_are_in_layers_left_dense():
    skipped = [Skipped("experts", "Experts: not known", 7_000), Skipped("norm", "a norm", 32),
               Skipped("flatten", "holds nothing")]  # fmt: skip
    plan = resolve(Policy.parse(HALF), model(spec("fc:kernel"), skipped=skipped, parameters=9_472))
    text = str(plan)
    assert "7,032 of 9,472 parameters are in layers left dense" in text
    assert "experts: Experts: not known (7,000 parameters)" in text
    assert "flatten: holds nothing\n" in text
    assert (plan.left_dense, plan.parameters) == (7_032, 9_472)
    table = plan.to_dict()
    assert (table["parameters"], table["left_dense"]) == (9_472, 7_032)
    assert [each["size"] for each in table["skipped"]] == [7_000, 32, 0]
    assert table["weights"][0]["size"] == 16


def test_without_the_number_of_all_parameters_the_dense_ones_are_counted_alone():
    plan = resolve(Policy.parse(HALF), model(spec("a:kernel"), skipped=[Skipped("b", "norm", 5)]))
    assert "5 parameters are in layers left dense" in str(plan)
    assert plan.parameters is None


def test_where_nothing_is_left_dense_nothing_is_said():
    plan = secateur.plan({"fc": np.ones((4, 4))}, HALF)
    assert "left dense" not in str(plan)


def test_the_sparsity_of_a_plan_counts_all_prunable_weights():
    model = {"a": np.ones((4, 4)), "b": np.ones((4, 12))}
    rules = [{"match": {"name": "a"}, "prune": False}, {}]
    plan = secateur.plan(model, {**HALF, "rules": rules})
    assert (plan.size, plan.kept, plan.sparsity) == (64, 40, 0.375)


# Tied and frozen weights.


def tied_model() -> Model:
    entry = LayerWeight("w", "dense")
    walk = [("wte:embedding", "wte", 0), ("h0:kernel", "h0", 1), ("h1:kernel", "h1", 2),
            ("head:kernel", "head", 0)]  # fmt: skip
    found, _ = collect(Found(name, layer, entry, key, None) for name, layer, key in walk)

    def spec_of(each: Collected) -> WeightSpec:
        kind = "embedding" if each.found.layer == "wte" else "dense"
        more = {"aliases": each.aliases, "alias_layers": each.alias_layers}
        return spec(each.found.name, kind, **more)

    return model(*map(spec_of, found), layers=layer_order(found))


def untied_model() -> Model:
    return model(spec("wte:embedding", "embedding"), *map(spec, ["h0:kernel", "h1:kernel"]),
                 spec("head:kernel"))  # fmt: skip


POSITIONS = [
    {"position": "first"},
    {"position": "last"},
    {"position": ["first", "last"]},
    {"depth": [0, 0.34]},
    {"depth": [0.3, 0.7]},
    {"depth": [0.6, 1]},
    {"depth": [0.9, 1]},
]


@pytest.mark.parametrize("match", POSITIONS)
def test_a_tied_head_is_the_last_layer_as_it_is_in_a_model_without_ties(match):
    rules = [{"match": match, "prune": False}, {"required": False}]
    tied, untied = planned(rules, tied_model()), planned(rules, untied_model())
    for block in ("h0:kernel", "h1:kernel"):
        assert tied[block] == untied[block]
    assert (tied["wte:embedding"] == 1) == (1 in (untied["wte:embedding"], untied["head:kernel"]))


def test_a_plan_names_the_other_layers_of_a_tied_weight():
    plan = resolve(Policy.parse(HALF), tied_model())
    assert "wte:embedding is also head:kernel" in str(plan)
    assert [each["tied_to"] for each in plan.to_dict()["weights"]] == [["head:kernel"], [], []]


def test_an_array_under_two_names_is_a_tied_weight_in_both_places():
    shared = np.arange(32.0).reshape(8, 4)
    weights = {"wte": (shared, "embedding"), "h": np.ones((4, 4)), "head": shared}
    rules = [{"match": {"position": "last"}, "prune": False}, {}]
    plan = secateur.plan(weights, {**HALF, "rules": rules})
    assert {each.spec.name: each.rule for each in plan.weights} == {"wte": 1, "h": 2}
    assert "wte is also head\n" in str(plan)
    assert plan.skipped == ()
    assert plan.parameters == 48
    masks = secateur.prune(weights, HALF).masks
    assert masks["head"] is masks["wte"] is masks["head:embedding"]
    assert np.count_nonzero(shared) == 16


def test_the_longer_name_of_an_array_is_no_tie():
    assert "is also" not in str(secateur.plan({"fc": np.ones((4, 4))}, HALF))


def test_without_the_order_of_aliases_a_weight_stands_where_it_is_listed():
    binding = model(spec("a:kernel", aliases=("z:kernel",), alias_layers=("z",)), spec("b:kernel"))
    rules = [{"match": {"position": "last"}, "prune": False}, {}]
    assert planned(rules, binding) == {"a:kernel": 2, "b:kernel": 1}


def test_a_frozen_weight_is_marked():
    binding = model(spec("backbone:kernel", trainable=False), spec("head:kernel"))
    plan = resolve(Policy.parse(HALF), binding)
    rows = {line.split()[0]: line for line in str(plan).splitlines() if line}
    assert rows["backbone:kernel"].endswith("frozen")
    assert not rows["head:kernel"].endswith("frozen")
    assert [each["trainable"] for each in plan.to_dict()["weights"]] == [False, True]
    assert "frozen" not in str(resolve(Policy.parse(HALF), untied_model()))


@pytest.mark.parametrize("wanted", [True, False])
def test_a_rule_can_ask_for_trainable_or_frozen_weights(wanted):
    binding = model(spec("backbone:kernel", trainable=False), spec("head:kernel"))
    rules = planned([{"match": {"trainable": wanted}, "prune": False}, {}], binding)
    assert [name for name, rule in rules.items() if rule == 1] == [
        "head:kernel" if wanted else "backbone:kernel"
    ]


def test_trainable_is_true_or_false_and_part_of_the_fingerprint_where_it_is_given():
    with pytest.raises(PolicyError, match=r"match.trainable: 1: input should be a valid boolean"):
        Policy.parse({**HALF, "rules": [{"match": {"trainable": 1}}]})
    prints = {
        Policy.parse({**HALF, "rules": [{"match": match}]}).fingerprint
        for match in ({}, {"trainable": True}, {"trainable": False})
    }
    assert len(prints) == 3


# The order of layers.


@pytest.mark.parametrize("match", [*POSITIONS, {"trainable": True}, {"trainable": False}])
def test_a_file_without_the_order_of_layers_refuses_what_needs_it(match):
    files = model(spec("b:kernel"), spec("stem:kernel"), ordered=False)
    rules = [{"id": "ends", "match": match, "required": False}, {}]
    with pytest.raises(PolicyError, match=r"rule 1 \('ends'\), match\..*Name the layers") as caught:
        planned(rules, files)
    assert next(iter(match)) in str(caught.value)


def test_and_takes_every_other_condition():
    files = model(spec("b:kernel"), spec("stem:kernel"), ordered=False)
    rules = [{"match": {"name": "stem", "kind": "dense", "min_size": 2}}, {}]
    assert planned(rules, files) == {"b:kernel": 2, "stem:kernel": 1}


def test_two_weights_of_one_name_get_advice():
    with pytest.raises(ModelError, match=r"2 weights the name fc:kernel.* a role of its own"):
        resolve(Policy.parse(HALF), model(spec("fc:kernel"), spec("fc:kernel")))


# Schedules that do something else than they seem to.

RAMP = {"kind": "linear", "final_sparsity": 0.8}
W = {"fc": np.arange(1, 101, dtype=np.float64).reshape(10, 10)}


def verbs(policy: dict, **settings):
    """Return the warnings of `plan` and `attach`, and the notes of the plan, which agree."""
    found = []
    for verb in (secateur.plan, secateur.attach):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = verb({"fc": W["fc"].copy()}, policy, **settings)
        assert {each.filename for each in caught} <= {__file__}
        plan = result if verb is secateur.plan else result.plan
        assert sorted(str(each.message) for each in caught) == sorted(plan.notes)
        found.append([(each.category, str(each.message)) for each in caught])
    assert found[0] == found[1]
    text = " ".join(str(plan).split())  # long notes are wrapped
    assert all(f"note: {note}" in text for note in plan.notes)
    assert plan.to_dict()["notes"] == list(plan.notes)
    return found[0]


@pytest.mark.parametrize(
    ("schedule", "total_steps", "reached"),
    [
        ({**RAMP, "end_step": 1000, "frequency": 10}, 100, "0.08"),
        ({**RAMP, "end_step": 1000, "frequency": 300}, 250, "0"),
        ({"kind": "one_shot", "final_sparsity": 0.8, "begin_step": 200}, 100, "0"),
        ({"kind": "constant", "final_sparsity": 0.8, "begin_step": 200}, 199, "0"),
        ({"kind": "piecewise", "points": [[0, 0.1], [200, 0.8]], "frequency": 50}, 100, "0.45"),
    ],
)
def test_plan_says_as_attach_does_what_a_run_does_not_reach(schedule, total_steps, reached):
    ((category, note),) = verbs({"schedule": schedule}, total_steps=total_steps)
    assert category is ScheduleWarning
    assert f"run of {total_steps} steps its schedule reaches sparsity {reached}, not 0.8" in note
    assert verbs({"schedule": schedule}, total_steps=2000) == []


@pytest.mark.parametrize(
    ("steps", "frequency", "few"),
    [(90, 100, True), (300, 100, True), (400, 100, False), (1000, 500, True), (20, 19, True),
     (2000, 500, False), (90, 1, False), (4, 3, False)],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["linear", "polynomial", "cosine", "exponential"])
def test_a_gradual_schedule_of_few_updates_is_worth_a_warning(kind, steps, frequency, few):
    schedule = {"kind": kind, "final_sparsity": 0.8, "end_step": steps, "frequency": frequency}
    for settings in ({}, {"total_steps": 5000}):
        found = verbs({"schedule": schedule}, **settings)
        assert [category for category, _ in found] == [ScheduleWarning] * few
        assert all(f"frequency = {frequency}" in note for _, note in found)


def test_the_same_of_percentages_once_the_length_is_known():
    policy = {"schedule": {**RAMP, "begin_step": "25%", "end_step": "75%", "frequency": 100}}
    assert secateur.plan(W, policy).notes == ()
    assert len(verbs(policy, total_steps=400)) == 1
    assert verbs(policy, total_steps=4000) == []
    del policy["schedule"]["frequency"]
    assert verbs(policy, total_steps=120) == []


def test_a_schedule_that_stays_where_it_is_does_not_jump():
    still = {**RAMP, "initial_sparsity": 0.8, "end_step": 100, "frequency": 90}
    assert verbs({"schedule": still}) == []


@pytest.mark.parametrize(("keep", "of", "asked", "warns"), [
    (2, 4, 0.8, True), (2, 4, 0.5, False), (1, 4, 0.5, True), (1, 3, 0.667, False),
    (1, 3, 0.6667, False),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["one_shot", "constant"])
def test_a_pattern_with_a_sparsity_of_its_own_says_that_another_one_is_ignored(
    kind, keep, of, asked, warns
):
    policy = {
        "pattern": {"kind": "n_m", "keep": keep, "of": of},
        "schedule": {"kind": kind, "final_sparsity": asked},
    }
    found = verbs(policy)
    assert [category for category, _ in found] == [ScheduleWarning] * warns
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        secateur.prune({"fc": np.ones((4, 12))}, policy)
    assert len(caught) == warns


def test_a_warning_that_is_an_error_changes_nothing():
    weight = W["fc"].copy()
    policy = {**HALF, "pattern": {"kind": "n_m", "keep": 1, "of": 4}}
    for verb in (secateur.attach, secateur.prune):
        with pytest.raises(ScheduleWarning):
            verb({"fc": weight}, policy)
        np.testing.assert_array_equal(weight, W["fc"])


# Steps that do not fit the run.

UNFIT = {
    "ends before it begins": {**RAMP, "begin_step": "90%", "end_step": 50},
    "points out of order": {"kind": "piecewise", "points": [["90%", 0.1], [10, 0.5]]},
}


@pytest.mark.parametrize("how", UNFIT)
@pytest.mark.parametrize("verb", [secateur.plan, secateur.attach])
def test_steps_that_do_not_fit_the_run_name_the_rule_the_file_and_the_run(tmp_path, verb, how):
    rules = [{"prune": False, "match": {"name": "fc"}},
             {"id": "rest", "required": False, "schedule": UNFIT[how]}]  # fmt: skip
    policy = Policy.parse({**HALF, "rules": rules})
    with pytest.raises(PolicyError, match=r"^rule 2 \('rest'\): .*total_steps=100"):
        verb(W, policy, total_steps=100)
    policy.dump(tmp_path / "p.toml")
    with pytest.raises(PolicyError, match=r"p.toml: rule 2 \('rest'\): .*total_steps=100"):
        verb(W, tmp_path / "p.toml", total_steps=100)


@pytest.mark.parametrize("wrong", ["100", 100.0, 1.5, float("nan"), -5, 0, True, 1 << 64, [1]])
@pytest.mark.parametrize("verb", [secateur.plan, secateur.attach])
def test_a_length_that_is_no_positive_integer_is_refused(verb, wrong):
    with pytest.raises(PolicyError, match=r"total_steps=.* must be a positive integer"):
        verb(W, {"schedule": {**RAMP, "end_step": "50%"}}, total_steps=wrong)


def test_the_longest_run_is_planned_at_once():
    policy = {"schedule": {**RAMP, "end_step": 10**11, "frequency": 7}}
    assert secateur.plan(W, policy, total_steps=10**12).notes == ()


def test_percentages_without_a_length_name_the_rule():
    rules = [{"id": "a", "match": {"name": "no"}, "required": False}, {"id": "b"}]
    with pytest.raises(PolicyError, match=r"^rule 1 \('a'\): .*total_steps="):
        secateur.attach(W, {"schedule": {**RAMP, "end_step": "50%"}, "rules": rules})


# Rules that decide nothing.


def shadowed(rules: list, names: str = "abc") -> list[str]:
    """Return the notes of a plan on dense weights of some names."""
    weights = {name: np.ones((4, 4)) for name in names}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plan = secateur.plan(weights, {**HALF, "rules": rules})
    assert {each.category for each in caught} <= {PolicyWarning}
    assert [str(each.message) for each in caught] == list(plan.notes)
    return list(plan.notes)


def test_a_rule_behind_one_that_matches_everything_is_named():
    (note,) = shadowed([{}, {"id": "stem", "match": {"name": "a"}}])
    assert note.startswith("rule 2 ('stem') decides no weight")
    assert "rule 1 decides already" in note
    assert len(shadowed([{}, {"match": {"name": "a"}, "required": False}])) == 1
    assert shadowed([{}, {"match": {"name": "z"}, "required": False}]) == []


def test_a_rule_whose_weights_several_others_took_is_named():
    rules = [{"match": {"name": name}} for name in "ab"]
    (note,) = shadowed([*rules, {"match": {"name": ["a", "b"]}}, {}])
    assert "rule 3 decides no weight" in note
    assert "rule 1, rule 2 decide" in note
    assert shadowed([*rules, {"match": {"name": ["a", "b"]}, "required": False}, {}]) == []


def test_a_rule_that_decides_one_weight_is_not_named():
    assert shadowed([{"match": {"name": ["a", "b"]}}, {}]) == []


def test_a_rule_that_repeats_another_is_named():
    rule = {"match": {"kind": "dense"}}
    assert len(shadowed([rule, rule, rule])) == 2


@pytest.mark.parametrize("verb", [secateur.attach, secateur.prune])
def test_the_other_verbs_warn_of_it_too(verb):
    with pytest.warns(PolicyWarning, match="rule 2 decides no weight"):
        verb({"a": np.ones((4, 4))}, {**HALF, "rules": [{}, {"match": {"name": "a"}}]})


# Rules that match nothing.


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("encoder.O.ffn", "encoder.0.ffn"),
        ("encoder.0.fn:kernel", "encoder.0.ffn:kernel"),
        ("model/encoder/0/ffn/kernel", "encoder.0.ffn:kernel"),
        ("model.encoder.0.ffn.weight", "encoder.0.ffn:kernel"),
        ("net.head", "head"),
        ("encoder.0.ffn.wieght", "encoder.0.ffn:kernel"),
    ],
)
def test_a_rule_that_matches_nothing_names_what_was_probably_meant(tmp_path, name, meant):
    names = ["encoder.0.ffn:kernel", *(f"block{n}:kernel" for n in range(500)), "head:kernel"]
    Policy.parse({**HALF, "rules": [{"id": "ffn", "match": {"name": name}}]}).dump(
        tmp_path / "p.toml"
    )
    with pytest.raises(PolicyError) as caught:
        resolve(Policy.load(tmp_path / "p.toml"), model(*map(spec, names)))
    text = str(caught.value)
    assert f"p.toml: rule 1 ('ffn'), match = {{'name': ['{name}']}}, matches no weight" in text
    assert f"did you mean {meant!r}?" in text.lower()
    assert "and 494 more" in text
    assert len(text.replace(str(tmp_path), "")) < 700


def test_and_which_kinds_there_are():
    with pytest.raises(PolicyError, match="Each kind that it has: dense, embedding"):
        planned([{"match": {"kind": "conv"}}], untied_model())
    with pytest.raises(PolicyError, match="no entry for 'numpy'"):
        planned([{"match": {"name": {"torch": "wte"}}}], untied_model())


def test_long_names_and_long_matches_stay_short_in_the_error():
    long = replace(spec("a:kernel"), name="a" * 5000 + ":kernel", layer="a" * 5000)
    with pytest.raises(PolicyError) as caught:
        planned([{"match": {"name": [f"b{n}" for n in range(900)]}}], model(long))
    assert len(str(caught.value)) < 900


# A framework's own names of parameters.


@pytest.mark.parametrize(
    ("name", "chosen"),
    [
        ("h0.weight", ["h0:kernel"]),
        ("h0/kernel", ["h0:kernel"]),
        ("h0.kernel", ["h0:kernel"]),
        ("h?.weight", ["h0:kernel", "h1:kernel"]),
        ("wte.weight", ["wte:embedding"]),
        ("wte/embeddings", ["wte:embedding"]),
        ("wte.embedding", ["wte:embedding"]),
        ("*.weight", ["wte:embedding", "h0:kernel", "h1:kernel", "head:kernel"]),
    ],
)
def test_a_native_name_is_understood(name, chosen):
    rules = planned([{"match": {"name": name}}, {"required": False}], untied_model())
    assert [each for each, rule in rules.items() if rule == 1] == chosen


def test_a_name_that_a_weight_has_is_that_name():
    weights = {"a.weight": np.ones((4, 4)), "b": np.ones((4, 4)), "c.d/kernel": np.ones((4, 4))}
    for name in ("*.weight", "a.weight"):
        plan = secateur.plan(weights, {**HALF, "rules": [{"match": {"name": name}}, {}]})
        assert [each.rule for each in plan.weights] == [1, 2, 2]


def test_an_empty_name_matches_nothing():
    with pytest.raises(PolicyError, match="matches no weight"):
        planned([{"match": {"name": ""}}], untied_model())


@pytest.mark.filterwarnings("ignore::secateur.errors.ScheduleWarning")
@pytest.mark.parametrize(
    "pattern",
    [
        "unstructured",
        "channel",
        {"kind": "block", "out": 4},
        {"kind": "n_m", "keep": 2, "of": 4},
        {"kind": "n_m", "keep": 3, "of": 7},
    ],
)
def test_what_a_plan_keeps_is_what_is_kept_where_groups_have_one_size(pattern):
    random = np.random.default_rng(0)
    shapes = {"a": (8, 10), "b": (16, 3, 3, 3), "c": (12, 20)}
    model = {name: random.normal(size=shape) for name, shape in shapes.items()}
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.7}, "pattern": pattern}
    plan = secateur.plan(model, policy)
    masks = secateur.prune(model, policy).masks
    assert plan.kept == sum(int(mask.sum()) for mask in masks.values())
    assert not plan.about


@pytest.mark.parametrize(
    ("pattern", "distribution", "about"),
    [
        ({"kind": "block", "out": 4, "in": 3}, "uniform", True),  # smaller blocks at the edges
        ("channel", "global", True),  # channels of 10 and of 27 weights
        ({"kind": "block", "out": 2, "in": 1}, "global", False),
        ("unstructured", "lamp", False),
        ("n_m", "uniform", False),
    ],
)
def test_a_plan_says_about_where_groups_of_other_sizes_compete(pattern, distribution, about):
    random = np.random.default_rng(0)
    model = {"a": random.normal(size=(8, 10)), "b": random.normal(size=(16, 27))}
    pattern = {"kind": "n_m", "keep": 2, "of": 4} if pattern == "n_m" else pattern
    half = {"kind": "one_shot", "final_sparsity": 0.5}
    policy = {"schedule": half, "pattern": pattern, "distribution": distribution}
    plan = secateur.plan(model, policy)
    assert plan.about == about == ("about " in plan.to_text().splitlines()[-1])
    masks = secateur.prune(model, policy).masks
    assert about or plan.kept == sum(int(mask.sum()) for mask in masks.values())
