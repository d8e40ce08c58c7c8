"""secateur diff: policies, twins and checkpoints."""

from __future__ import annotations

import numpy as np
import pytest

BASE = """
[schedule]
kind = "one_shot"
final_sparsity = 0.5
[[rules]]
id = "first"
match = { position = "first" }
prune = false
[[rules]]
id = "rest"
"""


@pytest.fixture
def policies(tmp_path):
    (tmp_path / "a.toml").write_text(BASE)
    (tmp_path / "b.toml").write_text(
        BASE.replace("0.5", "0.75") + '[[rules]]\nid = "new"\nrequired = false'
    )
    (tmp_path / "c.toml").write_text('extends = "a.toml"\nversion = 1\nname = "c"')


@pytest.mark.usefixtures("policies")
def test_two_policies_show_the_settings_that_changed(run):
    table = run("diff", "a.toml", "b.toml", "--json").json
    assert table["rules"] == [
        {
            "rule": "rest",
            "setting": "schedule.final_sparsity",
            "before": 0.5,
            "after": 0.75,
        },
        {"rule": "new", "setting": "rule", "before": None, "after": "rule 3"},
    ]
    text = run("diff", "a.toml", "b.toml").out
    assert "schedule.final_sparsity  0.5     0.75" in text
    assert "other masks:" in text


@pytest.mark.usefixtures("policies")
def test_policies_that_mean_the_same_are_told_to_give_the_same_masks(run):
    outcome = run("diff", "a.toml", "c.toml")
    assert outcome.out.startswith("the same masks: both are ")


@pytest.mark.usefixtures("policies")
def test_on_a_model_it_shows_weights_and_parameters_kept_before_and_after(run, npz):
    outcome = run("diff", "a.toml", "b.toml", "--model", npz)
    assert "fc:kernel" in outcome.out
    assert "conv:kernel" not in outcome.out
    # conv's 216 stay; of the others' 40 and 288 a half, then a quarter
    assert "kept: 380 before, 298 after (-82)" in outcome.out
    table = run("diff", "a.toml", "b.toml", "--model", npz, "--json").json
    assert table["kept"] == [380, 298]
    assert [pair["after"]["target"] for pair in table["weights"]] == [0.75, 0.75]


def test_rules_that_move_are_shown(run, tmp_path):
    first, second = '[[rules]]\nid="a"\n', '[[rules]]\nid="b"\nmatch={kind="conv"}\n'
    schedule = '[schedule]\nkind="one_shot"\nfinal_sparsity=0.5\n'
    (tmp_path / "a.toml").write_text(schedule + first + second)
    (tmp_path / "b.toml").write_text(schedule + second + first)
    rules = run("diff", "a.toml", "b.toml", "--json").json["rules"]
    assert {(change["rule"], change["setting"]) for change in rules} == {
        ("a", "place"),
        ("b", "place"),
    }


@pytest.fixture
def twins(tmp_path):
    import torch  # before TensorFlow, which Keras brings

    import keras  # isort: skip

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.head = torch.nn.Linear(8, 4), torch.nn.Linear(4, 2)

    torch.save(Net().state_dict(), tmp_path / "net.pt")
    layers = keras.layers
    twin = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="enc"), layers.Dense(2)])
    twin.save(tmp_path / "net.keras")


SCHEDULE = 'schedule = { kind = "one_shot", final_sparsity = 0.5 }\n'


@pytest.mark.framework
@pytest.mark.usefixtures("twins")
def test_a_rule_that_matches_in_one_twin_only_is_shown(run, tmp_path):
    (tmp_path / "p.toml").write_text(SCHEDULE + '[[rules]]\nmatch = { name = "enc" }\n[[rules]]')
    words = ["diff", "p.toml", "--model", "net.keras", "--model", "net.pt"]
    outcome = run(*words)
    assert outcome.code == 0, outcome.err
    assert "only in one" in outcome.out
    assert "enc:kernel / encoder:kernel" in outcome.out
    table = run(*words, "--json").json
    assert table["adapters"] == ["keras", "torch"]
    assert table["rules"] == [{"rule": 1, "weights": [1, 0]}, {"rule": 2, "weights": [1, 2]}]


@pytest.mark.framework
@pytest.mark.usefixtures("twins")
@pytest.mark.parametrize(
    "match", ['{ name = { keras = "enc", torch = "encoder" } }', '{ position = "first" }',
              "{ depth = [0, 0.4] }", "{ min_size = 32 }", '{ kind = "dense", role = "kernel" }',
              '{ name = ["enc", "encoder"] }', '{ name = "enc*" }']
)  # fmt: skip
def test_portable_matches_treat_twins_alike(run, tmp_path, match):
    (tmp_path / "p.toml").write_text(f"{SCHEDULE}[[rules]]\nmatch = {match}\n")
    outcome = run("diff", "p.toml", "--model", "net.keras", "--model", "net.pt")
    assert "every weight has its twin, and the policy treats both alike" in outcome.out


def test_without_a_policy_it_shows_what_one_model_lacks(run, tmp_path):
    np.savez(tmp_path / "a.npz", **{"x.weight": np.ones((2, 3)), "y.weight": np.ones((3, 2))})
    np.savez(tmp_path / "b.npz", **{"y2.weight": np.ones((3, 2))})
    outcome = run("diff", "--model", "a.npz", "--model", "b.npz")
    assert "x:kernel" in outcome.out
    assert "y2" not in outcome.out
    assert "no such weight" in outcome.out


def test_twins_in_another_order_are_paired_by_their_names(run, tmp_path):
    arrays = {f"{name}.weight": np.ones((2, 3)) for name in "abc"} | {"d.weight": np.ones((3, 3))}
    np.savez(tmp_path / "a.npz", **arrays)
    np.savez(tmp_path / "b.npz", **dict(reversed(arrays.items())))
    policy = '[[rules]]\nmatch = { name = ["a", "d"] }\nprune = false\n[[rules]]'
    (tmp_path / "p.toml").write_text(SCHEDULE + policy)
    outcome = run("diff", "p.toml", "--model", "a.npz", "--model", "b.npz")
    assert "every weight has its twin, and the policy treats both alike" in outcome.out


@pytest.mark.parametrize("swapped", [False, True])
def test_weights_of_one_twin_alone_are_shown_on_their_side(run, npz, tmp_path, swapped):
    weights = dict(np.load(npz))
    np.savez(tmp_path / "part.npz", **{name: weights[name] for name in ("conv.weight",)})
    (tmp_path / "names.toml").touch()
    files = [npz.name, "part.npz"][:: -1 if swapped else 1]
    outcome = run("diff", *files, "--map", "names.toml", "--exit-code", "--json")
    assert outcome.code == 1
    sides = [(change["name"], change["other"]) for change in outcome.json]
    here = [("conv:kernel", "conv:kernel"), ("embed:embedding", None), ("fc:kernel", None)]
    assert sides == [pair[:: -1 if swapped else 1] for pair in here]


def test_a_model_beside_a_policy_is_said_to_be_one(run, npz, half):
    for files in ((npz.name, half.name), (half.name, npz.name), (npz.name,)):
        outcome = run("diff", *files)
        assert outcome.code == 2
        assert "model.npz is a model, where a policy" in " ".join(outcome.err.split())


def test_a_policy_that_fits_one_of_two_models_only_names_the_other(run, npz, safetensors, tmp_path):
    (tmp_path / "p.toml").write_text(SCHEDULE + '[[rules]]\nmatch = { position = "first" }')
    outcome = run("diff", "p.toml", "--model", npz, "--model", safetensors)
    assert outcome.code == 1
    assert outcome.err.startswith(f"secateur: {safetensors}: p.toml: rule 1, match.position")


def test_two_checkpoints_show_zeros_and_changed_values(run, half, npz):
    run("prune", npz, half, "-o", "p.npz")
    rows = {row["name"]: row for row in run("diff", npz, "p.npz", "--json").json}
    assert rows["fc.weight"]["zeros"] == [0, 144]
    assert rows["fc.weight"]["changed"] == 144
    assert rows["conv.bias"]["changed"] == 0
    assert "fc.weight" in run("diff", npz, "p.npz").out


def test_tensors_that_one_checkpoint_lacks_or_shapes_otherwise_are_shown(run, tmp_path):
    np.savez(tmp_path / "a.npz", x=np.ones(2), y=np.full(2, np.nan))
    np.savez(tmp_path / "b.npz", x=np.ones(3), y=np.full(2, np.nan), z=np.zeros(1))
    rows = {row["name"]: row for row in run("diff", "a.npz", "b.npz", "--json").json}
    assert rows["x"]["changed"] is None
    assert rows["x"]["shapes"] == [[2], [3]]
    assert rows["y"]["changed"] == 0
    assert rows["z"]["shapes"] == [None, [1]]
    assert run("diff", "a.npz", "b.npz").code == 0


def test_a_changed_value_is_seen_in_every_dtype(run, tmp_path):
    from ml_dtypes import float8_e4m3fn
    from safetensors.numpy import save_file

    dtypes = ["bool", "int8", "int64", "uint16", "float64", "complex64", float8_e4m3fn]
    before = {str(np.dtype(dtype)): np.ones(3, dtype) for dtype in dtypes}
    for name, values in before.items():
        after = {**before, name: values * [1, 0, 1]}
        after[name] = after[name].astype(values.dtype)
        save_file(before, tmp_path / "a.safetensors")
        save_file(after, tmp_path / "b.safetensors")
        outcome = run("diff", "a.safetensors", "b.safetensors", "--json", "--exit-code")
        changed = {row["name"]: row["changed"] for row in outcome.json}
        assert (outcome.code, changed) == (1, {**dict.fromkeys(before, 0), name: 1})


@pytest.mark.usefixtures("policies")
def test_a_rule_that_matches_nothing_names_the_policy_and_the_rule(run, npz, tmp_path):
    (tmp_path / "d.toml").write_text(BASE + 'match = { kind = "rnn" }')
    outcome = run("diff", "a.toml", "d.toml", "--model", npz)
    assert outcome.code == 1
    assert "d.toml: rule 2 ('rest'), match = {'kind': ['rnn']}, matches no weight" in outcome.err


@pytest.mark.usefixtures("policies")
def test_the_exit_code_says_whether_anything_differs_where_that_is_asked(run, half, npz):
    run("prune", npz, half, "-o", "p.npz")
    other = ["diff", "a.toml", "b.toml"]
    assert run(*other).code == 0
    assert run(*other, "--exit-code").code == 1
    assert run(*other, "--exit-code", "--json").code == 1
    assert run("diff", "a.toml", "c.toml", "--exit-code").code == 0
    assert run("diff", npz, "p.npz", "--exit-code").code == 1
    assert run("diff", npz, npz, "--exit-code").code == 0
    assert run("diff", "--model", npz, "--model", "p.npz", "--exit-code").code == 0


@pytest.mark.usefixtures("policies")
def test_markdown_speaks_of_a_change_in_words(run, npz):
    words = ["diff", "a.toml", "b.toml", "--model", npz.name, "--format", "markdown"]
    text = run(*words).out
    assert text.startswith("### Policy `a.toml` to `b.toml`\n\nThe masks change: ")
    for line in (
        "In `model.npz`, **298** of 544 weights stay instead of 380 (-82): sparsity 0.3015 to",
        "- Rule `rest`: `schedule.final_sparsity` from 0.5 to 0.75.",
        "- Rule `new` (b.toml:11) is new: matches everything; one\\_shot (final\\_sparsity 0.75);",
        "2 weights change: 2 sparser.",
        "| `fc:kernel` | 288 | 0.5000 | 0.7500 |",
    ):
        assert line in text
    assert run(*words, "--json").code == 2
    assert "| conv.weight |" in run("diff", npz, npz, "--format", "markdown").out


def test_markdown_of_hostile_names_is_text(run, tmp_path):
    name = "<b>|`x`|\n[a](b)"
    np.savez(tmp_path / "m.npz", **{f"{name}.weight": np.ones((4, 4))})
    for share in (0.5, 0.75):
        text = (
            f'schedule = {{ kind = "one_shot", final_sparsity = {share} }}\n[[rules]]\nid = """\n'
        )
        (tmp_path / f"{share}.toml").write_text(text + name + '"""')
    text = run("diff", "0.5.toml", "0.75.toml", "--model", "m.npz", "--format", "markdown").out
    [row] = [line for line in text.splitlines() if "16 |" in line]
    assert row.startswith("| `` <b>\\|`x`\\|\\n[a](b):kernel `` | 16 | 0.5000 | 0.7500 |")
    assert "Rule `` <b>|`x`|\\n[a](b) ``: `schedule.final_sparsity` from 0.5 to 0.75." in text


@pytest.mark.usefixtures("policies")
def test_one_policy_beside_itself_with_a_setting_changed(run, npz):
    words = ["diff", "a.toml", "--set", "schedule.final_sparsity=0.75", "--model", npz, "--json"]
    table = run(*words).json
    assert table["kept"] == [380, 298]
    assert run("diff", "a.toml").code == 2
