"""secateur verify: its exit code, what it prints, and the files that it takes."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import secateur

DENSE = """
[[rules]]
match = { kind = "embedding" }
prune = false

[[rules]]
"""


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "packed"])
def test_a_pruned_file_obeys_and_the_file_before_does_not(run, half, request, tmp_path, suffix):
    half.write_text(half.read_text() + DENSE)
    source = request.getfixturevalue("npz" if suffix == "npz" else "safetensors")
    pruned = tmp_path / f"pruned{source.suffix}"
    assert run("prune", source, half, "-o", pruned, "--masks", "masks.npz").code == 0
    if suffix == "packed":
        assert run("pack", pruned, "-o", "pruned.packed", "--allow-larger").code == 0
        pruned = tmp_path / "pruned.packed"
    good = run("verify", pruned, "--policy", half)
    assert good.code == 0, good.out
    assert "holds: all 3 weights obey the policy" in good.out
    each = run("verify", pruned, "--policy", half, "--all")
    assert f"sha256 {hashlib.sha256(pruned.read_bytes()).hexdigest()}" in each.out
    assert "embed" in each.out
    for proof in (["--masks", "masks.npz"], ["--state", "masks.npz"]):
        proven = run("verify", pruned, "--policy", half, *proof, "--json")
        assert proven.code == 0, proven.out
        assert proven.json["proven_by"] == ["masks.npz"]
        said = any("is no state of a run: it holds" in note for note in proven.json["notes"])
        assert said == ("--state" in proof)
        assert [weight["asked"] for weight in proven.json["weights"]].count(0) == 1
    bad = run("verify", source, "--policy", half)
    assert (bad.code, bad.err) == (1, "")
    assert "too few zero weights, by 144" in " ".join(bad.out.split())
    assert "does not hold: 2 of 3 weights are not as asked" in bad.out


def test_one_weight_that_was_put_back_is_found_by_its_index(run, half, safetensors):
    run("prune", safetensors, half, "-o", "p.safetensors", "--masks", "masks.npz")
    tensors = {name: values.copy() for name, values in load_file("p.safetensors").items()}
    at = tuple(map(int, np.argwhere(tensors["fc.weight"] == 0)[3]))
    tensors["fc.weight"][at] = 1e-30
    save_file(tensors, "p.safetensors")
    outcome = run("verify", "p.safetensors", "--policy", half, "--masks", "masks.npz")
    assert outcome.code == 1
    assert f"not zero where the mask of masks.npz prunes: 1, the first at {at}" in " ".join(
        outcome.out.split()
    )
    assert "conv" not in outcome.out.partition("note:")[0].replace("assumed", "")


def test_what_cannot_be_verified_is_refused_in_one_line(run, half, npz, tmp_path):
    (tmp_path / "rnn.toml").write_text(half.read_text() + '[[rules]]\nmatch = { kind = "rnn" }\n')
    percent = '[schedule]\nkind = "linear"\nfinal_sparsity = 0.5\nend_step = "50%"\n'
    (tmp_path / "percent.toml").write_text(percent)
    shutil.copy(npz, tmp_path / "no-masks.npz")
    for words, why in (
        (["--policy", "rnn.toml"], "matches no weight"),
        (["--policy", "percent.toml", "--at", "3"], "length is not known"),
        (["--policy", half, "--at", "9", "--total-steps", "8"], "step 9 is beyond the end"),
        (["--policy", half, "--masks", "no-masks.npz"], "a mask is bool"),
        (["--policy", half, "--state", "no-masks.npz"], "it has no 'secateur', and holds: conv"),
        (["--policy", half, "--masks", half], "no file of masks; give what pruner.save() or"),
        (["--policy", half, "--kind", "nothing*=dense"], "fits none of"),
    ):
        outcome = run("verify", npz, *words)
        assert outcome.code == 1
        assert why in outcome.err
        assert len(outcome.err.splitlines()) == 1
    assert run("verify", npz).code == 2


def test_a_state_given_as_masks_and_masks_given_as_a_state_are_named(run, npz, tmp_path):
    policy = {"schedule": {"kind": "linear", "final_sparsity": 0.5, "end_step": 4, "frequency": 1}}
    secateur.Policy.parse(policy).dump(tmp_path / "linear.toml")
    weights = {name: values.copy() for name, values in np.load(npz).items() if values.ndim > 1}
    pruner = secateur.attach(weights, policy)
    pruner.step(2)
    pruner.save("run.npz")
    np.savez("now.npz", **weights)
    at_two = run("verify", "now.npz", "--policy", "linear.toml", "--masks", "run.npz", "--json")
    assert (at_two.code, at_two.json["holds"]) == (1, False)
    assert any("is the state of a run at step 2" in note for note in at_two.json["notes"])


def test_a_file_that_notes_another_policy_is_said_so_and_may_obey_this_one(run, half, npz):
    run("prune", npz, half, "-o", "pruned.npz")
    same = run("verify", "pruned.npz", "--policy", half, "--json").json
    assert not any("notes that policy" in note for note in same["notes"])
    half.write_text(half.read_text().replace("one_shot", "constant"))
    other = run("verify", "pruned.npz", "--policy", half, "--json")
    assert (other.code, other.json["holds"]) == (0, True)
    assert any("the file notes that policy" in note for note in other.json["notes"])
