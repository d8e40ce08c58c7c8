"""secateur prune on .pt files: what is pruned, and that nothing else changes."""

from __future__ import annotations

import os
import zipfile
from argparse import Namespace
from collections import OrderedDict

import pytest
import torch

import secateur
from tests.command_line import run as run

POLICY = 'schedule = { kind = "one_shot", final_sparsity = 0.5 }\ndistribution = "global"\n'


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        OrderedDict(
            conv=torch.nn.Conv2d(3, 4, 3),
            flat=torch.nn.Flatten(),
            hidden=torch.nn.Linear(144, 8),
            norm=torch.nn.BatchNorm1d(8),
            head=torch.nn.Linear(8, 4),
        )
    )


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


def test_a_training_checkpoint_is_pruned_in_its_model_and_nowhere_else(run, folder):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()
    saved = {
        "epoch": 3,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "rng": torch.get_rng_state(),
        "notes": ["a", (1, 2.5, None)],
    }
    torch.save(saved, folder / "run.pt")
    masks = secateur.prune(model, folder / "policy.toml").masks
    outcome = run("prune", "run.pt", "policy.toml", "-o", "pruned.pt", "--masks", "masks.npz")
    assert outcome.code == 0, outcome.err
    assert run("verify", "pruned.pt", "--policy", "policy.toml", "--masks", "masks.npz").code == 0
    after = torch.load("pruned.pt", weights_only=True)
    for name, values in model.state_dict().items():
        assert torch.equal(after["model"][name], values), name
    assert after["model"]._metadata == saved["model"]._metadata
    fingerprint = secateur.Policy.load("policy.toml").fingerprint
    assert zipfile.ZipFile("pruned.pt").comment.decode() == f"secateur_policy {fingerprint}"
    (folder / "other.toml").write_text(POLICY.replace("0.5", "0.4"))
    assert fingerprint[:12] in run("verify", "pruned.pt", "--policy", "other.toml").out
    again = network()
    again.load_state_dict(torch.load("pruned.pt", weights_only=True, mmap=True)["model"])
    for name, mask in masks.items():
        assert (
            dict(again.named_parameters())[name.replace(":kernel", ".weight")] != 0
        ).numpy().tolist() == mask.tolist()
    for state, kept in zip(
        after["optimizer"]["state"].values(), saved["optimizer"]["state"].values(), strict=True
    ):
        assert all(torch.equal(state[key], kept[key]) for key in kept)
    assert torch.equal(after["rng"], saved["rng"])
    assert (after["epoch"], after["notes"]) == (saved["epoch"], saved["notes"])


def test_a_tied_weight_is_one_weight_and_stays_tied(run, folder):
    shared = torch.randn(10, 6).to(torch.bfloat16)
    torch.save({"embed.weight": shared, "head.weight": shared, "fc.weight": torch.randn(6, 6)},
               folder / "tied.pt")  # fmt: skip
    plan = run("plan", "policy.toml", "tied.pt", "--json").json
    assert [weight["name"] for weight in plan["weights"]] == ["embed:embedding", "fc:kernel"]
    assert "head:kernel" in plan["weights"][0]["tied_to"]
    pruned = run("prune", "tied.pt", "policy.toml", "-o", "pruned.pt")
    assert "48 of 96 parameters are pruned" in pruned.out
    after = torch.load("pruned.pt", weights_only=True)
    assert after["embed.weight"].data_ptr() == after["head.weight"].data_ptr()
    assert int((after["embed.weight"] == 0).sum() + (after["fc.weight"] == 0).sum()) == 48


def test_parts_of_one_memory_that_are_not_one_tensor_are_refused(run, folder):
    whole = torch.randn(8, 6)
    torch.save({"a.weight": whole[:5], "b.weight": whole[3:]}, folder / "views.pt")
    outcome = run("prune", "views.pt", "policy.toml", "-o", "pruned.pt")
    assert outcome.code == 1
    assert "same memory" in outcome.err
    assert not (folder / "pruned.pt").exists()


class Payload:
    def __reduce__(self):
        return os.mkdir, ("harm",)


def test_a_pickle_that_would_run_code_is_refused_and_runs_none(run, folder):
    torch.save({"model": network().state_dict(), "extra": Payload()}, folder / "evil.pt")
    for words in (
        ["prune", "evil.pt", "policy.toml", "--in-place"],
        ["verify", "evil.pt", "--policy", "policy.toml"],
    ):
        outcome = run(*words)
        assert outcome.code == 1
        assert "without running code" in outcome.err
        assert len(outcome.err.splitlines()) == 1
    assert not (folder / "harm").exists()


def test_a_second_state_dict_stays_as_it_is_and_is_said(run, folder):
    state = network().state_dict() | {"hidden.empty.weight": torch.zeros(0, 4)}
    averaged = {name: values.clone() for name, values in state.items()}
    wrapped = {f"module.{name}": values.clone() for name, values in state.items()}
    saved = {"state_dict": state, "ema": averaged, "swa": {"updates": 1, "model": wrapped}}
    saved["twice"] = [[]] * 2
    saved["twice"][0].append(saved["twice"])  # a circle
    torch.save(saved, folder / "run.pt")
    outcome = run("prune", "run.pt", "policy.toml", "-o", "pruned.pt")
    assert outcome.code == 0, outcome.err
    assert "holds weights too, and stays as it is: 'ema', 'swa'" in " ".join(outcome.out.split())
    after = torch.load("pruned.pt", weights_only=True)
    assert all(torch.equal(after["ema"][name], values) for name, values in averaged.items())
    assert not after["state_dict"]["hidden.weight"].all()


def test_what_holds_objects_or_no_state_dict_says_what_to_save(run, folder):
    torch.save({"model": network().state_dict(), "args": Namespace(a=1)}, folder / "args.pt")
    torch.save({"net": network().state_dict(), "step": 3}, folder / "net.pt")
    (folder / "empty.pt").touch()
    assert run("plan", "policy.toml", "empty.pt").err.endswith("code: it is empty\n")
    (folder / "cut.pt").write_bytes((folder / "net.pt").read_bytes()[:-1])
    assert "its archive is cut short" in run("plan", "policy.toml", "cut.pt").err
    error = run("plan", "policy.toml", "args.pt").err
    assert "it holds a argparse.Namespace, and only code can make one; save model.state" in error
    assert (
        "but tables under 'net'; save the model.state_dict()"
        in run("plan", "policy.toml", "net.pt").err
    )
