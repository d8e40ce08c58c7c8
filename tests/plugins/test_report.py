"""The report plugin: CSV and Markdown of a model, and the history of a run."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import secateur
import secateur_report
from secateur.errors import PluginError
from secateur.hooks.registry import registry

GROW = {"kind": "linear", "final_sparsity": 0.5, "end_step": 4, "frequency": 2}


def weights() -> dict[str, np.ndarray]:
    return {"fc": np.arange(1.0, 9.0).reshape(2, 4), "a|b": np.arange(1.0, 5.0).reshape(2, 2)}


def test_it_is_registered_by_an_entry_point_as_a_third_partys_would_be():
    plugin = registry().plugins["report"]
    assert plugin.distribution == "secateur"
    assert plugin.provides == ("exporter csv", "exporter markdown", "observer")


def test_csv_and_markdown_hold_a_row_for_each_weight(tmp_path):
    model = weights()
    report = secateur.prune(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
    secateur.export(model, tmp_path / "t.csv", to="csv", masks=report.masks)
    secateur.export(model, tmp_path / "t.md", to="markdown")
    with (tmp_path / "t.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1:] == [
        ["fc", "2x4", "8", "4", "0.5000"],
        ["a|b", "2x2", "4", "2", "0.5000"],
        ["all", "", "12", "6", "0.5000"],
    ]
    lines = (tmp_path / "t.md").read_text().splitlines()
    assert lines[0] == "| weight | shape | size | kept | sparsity |"
    assert lines[3] == "| a\\|b | 2x2 | 4 | 2 | 0.5000 |"


def history(path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(policy) -> None:
    pruner = secateur.attach(weights(), policy)
    for _ in range(5):
        pruner.step()
    pruner.detach()


def test_the_environment_asks_for_a_history_of_every_run(tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_REPORT", str(tmp_path / "run.csv"))
    policy = secateur.Policy.parse({"schedule": GROW})
    run(policy)
    rows = history(tmp_path / "run.csv")
    assert [(row["step"], row["weight"], row["sparsity"]) for row in rows] == [
        ("0", "fc", "0.0"), ("0", "a|b", "0.0"),
        ("2", "fc", "0.25"), ("2", "a|b", "0.25"),
        ("4", "fc", "0.5"), ("4", "a|b", "0.5"),
    ]  # fmt: skip
    assert {row["policy"] for row in rows} == {policy.fingerprint}


def test_without_it_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SECATEUR_REPORT", raising=False)
    run({"schedule": GROW})
    assert list(tmp_path.iterdir()) == []


def test_a_history_can_be_registered_in_code(tmp_path, registered):
    registered(secateur_report.History(tmp_path / "run.csv"))
    run({"schedule": GROW})
    run({"schedule": GROW})
    assert len(history(tmp_path / "run.csv")) == 12


def test_a_history_that_cannot_be_written_stops_the_step_with_the_weights_as_they_were(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SECATEUR_REPORT", str(tmp_path))
    model, untouched = weights(), weights()
    with pytest.raises(PluginError, match=r"'report' of secateur .*, secateur_masks_updated"):
        secateur.prune(model, {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}})
    for name, array in model.items():
        np.testing.assert_array_equal(array, untouched[name])


def test_an_exporter_that_fails_is_named(tmp_path, registered):
    class Broken(secateur.Exporter):
        kind = "broken"

        def export(self, source, path):
            raise ArithmeticError("out of tune")

    class Plugin:
        @secateur.hookimpl
        def secateur_exporters(self):
            return [Broken()]

    registered(Plugin())
    with pytest.raises(PluginError, match=r"plugin 'test 0', secateur_exporters \(exporter 'broke"):
        secateur.export(weights(), tmp_path / "x", to="broken")
