"""The code of the page on logging runs, against MLflow's local store and W&B offline.

``make trackers`` makes the environment that it needs, and runs it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "log-a-run.md"
BLOCK = re.compile(r"^```py\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks_of(title: str) -> list[str]:
    """Return the code below a title of the page."""
    text = PAGE.read_text().partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return BLOCK.findall(text)


def run(blocks: list[str], names: dict[str, object]) -> dict[str, object]:
    for code in blocks:
        exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 our own page
    return names


pytestmark = pytest.mark.filterwarnings("default")  # those of the trackers are not ours


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")


def test_mlflow_has_the_sparsity_of_every_update_and_the_policy(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    mlflow.set_tracking_uri(tmp_path.joinpath("mlruns").as_uri())
    pruner = run(blocks_of("MLflow"), {})["pruner"]
    client = mlflow.MlflowClient()
    [found] = client.search_runs(["0"])
    assert found.data.params["policy"] == pruner.plan.policy.fingerprint
    history = client.get_metric_history(found.info.run_id, "sparsity/fc.kernel")
    assert [metric.step for metric in history] == [0, 10, 20, 30, 40]
    assert history[-1].value == pruner.report().sparsity
    thresholds = client.get_metric_history(found.info.run_id, "threshold/fc.kernel")
    assert sorted(metric.value for metric in thresholds) == [m.value for m in thresholds]
    assert [file.path for file in client.list_artifacts(found.info.run_id)] == ["policy.json"]


def recorded(path: Path) -> list[dict[str, object]]:
    """Return the rows of a run's history: records of LevelDB's log format, each a message."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, rows, place = path.read_bytes(), [], 7
    while place + 7 < len(content):
        length = int.from_bytes(content[place + 4 : place + 6], "little")
        record = Record()
        record.ParseFromString(content[place + 7 : place + 7 + length])
        found = {item.key or ".".join(item.nested_key): item for item in record.history.item}
        rows.append({key: json.loads(item.value_json) for key, item in found.items()})
        place += 7 + length
    return [row for row in rows if row]


def test_wandb_has_the_sparsity_of_every_update(tmp_path):
    needed = blocks_of("MLflow")[1].partition("with ")[0]  # the imports and the schedule
    names = run([needed, *blocks_of("Weights & Biases")], {})
    import wandb

    wandb.teardown()  # until all is written
    [file] = tmp_path.glob("wandb/offline-run-*/run-*.wandb")
    rows = recorded(file)
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40]
    assert rows[-1]["pruning/sparsity/fc:kernel"] == names["pruner"].report().sparsity
