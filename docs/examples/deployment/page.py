"""The page that shows what was measured: nothing on it is written by hand."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from json_lines import Line, read_lines
from measuring import ETHOS, EXPORTS, FORMS, LUTS, OWN, PACKED, SPARSE, forms_of
from networks import NETWORKS
from page_tables import table, versions
from training import Run
from variants import DENSE, POLICIES

_MOST_BELOW = 0.1
_WAY = ("variant", "epochs", "masks grow", "rate")
"""What tells one way to train the CNN from another."""
_NAMES = {"keras": "Keras", "torch": "PyTorch"}
_HEAD = """# What pruning is worth when a network is shipped

Sizes in every form of a file, accuracy of what was written, latency, and estimates of cycles and
LUTs. Written by one command from the lines of `docs/results/deployment.jsonl`:

```
make deployment
```

It trains each network dense and pruned, writes it in each form, and runs each file on all test
samples. It goes on where it was stopped, and it takes hours on two cores. How to do it with a
network of your own: [Small files](../how-to/small-files.md), [Export a model](../how-to/export.md),
[Will it be faster?](../explanation/will-it-be-faster.md). Packed files of the MNIST CNN, trained by
another script, are in [Small files of the MNIST network](small-files.md).

What was fixed before these figures were measured: Adam at 0.001, epochs dense + epochs for each
variant ({epochs}). Every variant, the dense one
too, trains on from the same dense network for as long and at the same rate. Masks grow in the part
of those epochs that stands in brackets.
The CNN was trained in another way at first: 1 + 2 epochs [5% to 75%], its rate falling to 0 in a
line. In Keras it had 98.66 % of the test images at 90 % then, and 99.33 % dense: 0.67 points more,
with one seed. For that reason another training was looked for, and chosen by
`docs/examples/deployment/choosing.py` on 5,000 training images that were held out.
*90 %* and *95 %* prune single weights of every kernel, biases and normalization never; *4x1* zeros
blocks of 4 outputs; *2:4* keeps 2 of every 4 weights along the inputs. Accuracy is that on all
10,000 test images of MNIST, or on 600 spoken digits that were held out. Its 95 % interval is that
of the difference to the dense network on the same samples. Latency is that of one sample on one
thread, the tenth percentile of all calls, as other programs ran meanwhile. MobileNetV2 has random
weights, since there is no labelled data for it here, and is pruned in one shot.
"""
_TRIED = """Accuracy on 5,000 training images that were held out; one seed, in PyTorch, by
`docs/examples/deployment/choosing.py`."""
_TRAINED = """In [What zeros save](targets.md) the same MLP has random weights, and the factors are
larger: what a network learns compresses better than random numbers when it is dense, and worse
when it is pruned."""


def write_page(path: Path, lines: Sequence[Line]) -> None:
    """Write the page from all lines."""
    epochs = "; ".join(
        f"{name} {network.epochs[0]} + {network.epochs[1]} [{' to '.join(network.pruned)}], "
        f"its rate {'falls to 0 in a line' if network.rate_falls else 'stays'}"
        for name, network in NETWORKS.items()
        if network.data
    )
    parts = [_HEAD.format(epochs=epochs)]
    for title, make in _SECTIONS.items():
        if text := make(lines):
            parts.append(f"## {title}\n\n{text}\n")
    if tried := choices(path.with_name("deployment-choices.jsonl")):
        parts.append(f"## How the MNIST CNN is trained\n\n{_TRIED}\n\n{_choices(tried)}\n")
    tools = ("keras", "torch", "ai-edge-litert", "onnxruntime", "openvino", "ethos-u-vela", "da4ml")
    parts.append(f"{versions(*tools)} {platform.machine()}, {os.cpu_count()} cores.\n")
    path.write_text("\n".join(parts), encoding="utf-8")


def choices(path: Path) -> list[Line]:
    """Return what `choosing.py` found, a line for each way to train."""
    return read_lines(path, lambda line: tuple(line[word] for word in _WAY))


def _choices(tried: Sequence[Line]) -> str:
    rows = [
        (*(line[word] for word in _WAY), f"{100 * line['right'] / line['of']:.2f}")
        for line in tried
    ]
    return table((*_WAY, "accuracy, %"), rows, words=len(_WAY))


def _goals(lines: Sequence[Line]) -> str:
    """Return what was aimed at, and whether it was met."""
    rows = []
    for words, form, variant, key, most in (
        ("float, 1.25 MB", "packed float", "90 %", "bytes", 1_250_000),
        ("int8, 0.50 MB", "packed int8", "90 %", "bytes", 500_000),
        ("clustered, 0.32 MB", "packed clustered, 3 bits", "90 %", "bytes", 320_000),
        ("95 %, clustered, 0.2 MB", "packed clustered, 3 bits", "95 %", "bytes", 200_000),
        ("LiteRT int8 + gzip, 0.65 MB", "litert int8", "90 %", "gzip", 650_000),
        ("LiteRT int8 + xz, 0.52 MB", "litert int8", "90 %", "xz", 520_000),
    ):
        for framework, found in _by_framework(lines, "cnn", variant, form):
            size = mean(line[key] for line in found)
            met = "met" if size <= most else "missed"
            rows.append((f"MNIST CNN, {words}", framework, round(size), met, *_difference(found)))
    for form in ("packed float", "packed int8", "packed clustered, 3 bits"):
        for framework, found in _by_framework(lines, "cnn", "90 %", form):
            below, interval = _difference(found)
            met = "" if not below else "met" if float(below) >= -_MOST_BELOW else "missed"
            goal = f"MNIST CNN, 90 %, {form}: at most {_MOST_BELOW} points below dense"
            rows.append((goal, framework, below, met, below, interval))
    for name, words in (("mlp", "MLP"), ("cnn", "MNIST CNN")):
        rows += _goals_of_cycles(lines, name, words)
    head = (
        "goal, at most or at least",
        "in",
        "found",
        "goal is",
        "points above dense",
        "95 % interval",
    )
    return table(head, rows, words=2) if rows else ""


def _goals_of_cycles(lines: Sequence[Line], name: str, words: str) -> Iterator[Sequence[object]]:
    for target, variant, times in (("ethos-u55", "90 %", 7.0), ("ethos-u85", "2:4", 1.6)):
        dense = dict(_by_framework(lines, name, DENSE, target))
        int8 = dict(_by_framework(lines, name, variant, "litert int8"))
        for framework, found in _by_framework(lines, name, variant, target):
            if framework in dense:
                ratio = dense[framework][0]["cycles"] / found[0]["cycles"]
                met = "met" if ratio >= times else "missed"
                goal = f"{words}, {variant}, {target}: {times:g} times fewer cycles"
                yield goal, framework, f"{ratio:.2f}", met, *_difference(int8.get(framework, []))


def _accuracies(lines: Sequence[Line]) -> str:
    """Return the accuracies of the networks themselves, over seeds."""
    rows = []
    for name in NETWORKS:
        for variant in POLICIES:
            for framework, found in _by_framework(lines, name, variant, OWN):
                if "right" in found[0]:
                    shares = [100 * line["right"] / line["of"] for line in found]
                    spread = f"{stdev(shares):.2f}" if len(shares) > 1 else ""
                    row = (f"{mean(shares):.2f}", spread, len(shares), *_difference(found))
                    rows.append((NETWORKS[name].title, framework, variant, *row))
    head = ("network", "in", "variant", "accuracy, %", "deviation", "seeds")
    return table((*head, "points above dense", "95 % interval"), rows, words=3) if rows else ""


def _sizes(lines: Sequence[Line]) -> str:
    """Return every size in bytes, a column for each variant."""
    rows = []
    for name, form, framework, own in _files(lines):
        for compression in ("bytes", "gzip", "zstd", "xz", "entropy"):
            by_variant = {line["variant"]: line[compression] for line in own if compression in line}
            if by_variant:
                word = "" if compression == "bytes" else compression
                cells = [by_variant.get(variant, "") for variant in POLICIES]
                rows.append((NETWORKS[name].title, framework, _title(form, own), word, *cells))
    head = ("network", "in", "file", "compressed", *POLICIES)
    return table(head, rows, words=4) if rows else ""


def _file_accuracies(lines: Sequence[Line]) -> str:
    """Return the accuracy of what was written, a column for each variant."""
    rows = []
    for name, form, framework, own in _files(lines):
        measured = [line for line in own if "right" in line]
        shares = {line["variant"]: 100 * line["right"] / line["of"] for line in measured}
        if shares:
            cells = [f"{shares[v]:.2f}" if v in shares else "" for v in POLICIES]
            rows.append((NETWORKS[name].title, framework, _title(form, own), *cells))
    head = ("network", "in", "file", *(f"{variant}" for variant in POLICIES))
    return table(head, rows, words=3) if rows else ""


def _files(lines: Sequence[Line]) -> Iterator[tuple[str, str, str, list[Line]]]:
    """Yield each form of a file of each network and framework, with the lines of the first seed."""
    first = [line for line in lines if line["seed"] == 0 and "refused" not in line]
    for name in NETWORKS:
        for framework in _NAMES:
            for form in (OWN, *PACKED, *EXPORTS):
                every = _of(first, name, form)
                if found := [line for line in every if line["framework"] == framework]:
                    yield name, form, _NAMES[framework], found


def _title(form: str, lines: Sequence[Line]) -> str:
    suffix = ".keras" if lines[0]["framework"] == "keras" else ".pt"
    return f"its own, `{suffix}`" if form == OWN else form


def _latencies(lines: Sequence[Line]) -> str:
    """Return latencies, a column for each variant: those that gain nothing stay in."""
    rows = []
    for name in NETWORKS:
        for form in (OWN, *EXPORTS, *SPARSE):
            found = [line for line in _of(lines, name, form) if "milliseconds" in line]
            for framework, own in _split(found):
                by_variant = {line["variant"]: line["milliseconds"] for line in own}
                cells = [_milliseconds(by_variant.get(variant)) for variant in POLICIES]
                runtime = _NAMES[framework] if form == OWN else form
                rows.append((NETWORKS[name].title, _NAMES[framework], runtime, *cells))
    head = ("network", "in", "run by", *(f"{variant}, ms" for variant in POLICIES))
    return table(head, rows, words=3) if rows else ""


def _cycles(lines: Sequence[Line]) -> str:
    """Return Vela's estimates."""
    rows = []
    for line in _ordered(lines):
        if line["form"] in ETHOS and "cycles" in line and line["seed"] == 0:
            dense = [d for d in _of(lines, line["network"], line["form"]) if _is_dense_of(d, line)]
            times = f"{dense[0]['cycles'] / line['cycles']:.2f}" if dense else ""
            size = line["bytes of compressed weights"]
            rows.append((*_whose(line), line["form"], line["cycles"], times, size))
    head = ("network", "in", "variant", "target", "cycles", "times fewer", "bytes of weights")
    return f"{table(head, rows, words=4)}\n\n{_TRAINED}" if rows else ""


def _luts(lines: Sequence[Line]) -> str:
    """Return da4ml's estimates."""
    rows = [
        (*_whose(line), line["LUTs"])
        for line in _ordered(lines)
        if line["form"] == LUTS and "LUTs" in line and line["seed"] == 0
    ]
    return table(("network", "in", "variant", "LUTs of 256x10"), rows, words=3) if rows else ""


def _refusals(lines: Sequence[Line]) -> str:
    """Return what could not be written or run, and why."""
    rows = [
        (*_whose(line), line["form"], line["refused"].replace("|", "/"))
        for line in _ordered(lines)
        if "refused" in line and line["seed"] == 0
    ]
    return table(("network", "in", "variant", "form", "why"), rows, words=5) if rows else ""


def _missing(lines: Sequence[Line]) -> str:
    """Return how many forms of which networks have been measured, where it is not all of them."""
    rows = []
    for name in NETWORKS:
        for framework in _NAMES:
            for variant in POLICIES:
                run = Run(name, framework, variant, 0)
                done = sum(all(line[k] == v for k, v in vars(run).items()) for line in lines)
                if done < (every := len(forms_of(run))):
                    rows.append((*_whose(vars(run)), f"{done} of {every}"))
    return table(("network", "in", "variant", "forms measured"), rows, words=3) if rows else ""


_SECTIONS: dict[str, Callable[[Sequence[Line]], str]] = {
    "Goals": _goals,
    "Accuracy": _accuracies,
    "Sizes in bytes": _sizes,
    "Accuracy of every file, %": _file_accuracies,
    "Latency": _latencies,
    "Cycles on Arm Ethos-U, by Vela's own estimates": _cycles,
    "LUTs of the last matrix, by da4ml's own estimates": _luts,
    "What could not be written, and why": _refusals,
    "Not measured yet": _missing,
}


def _difference(lines: Iterable[Line]) -> tuple[str, str]:
    """Return how many points above dense, and the 95 % interval, over all samples and seeds."""
    paired = [line for line in lines if "gained" in line]
    count = sum(line["of"] for line in paired)
    if not count:
        return "", ""
    gained, lost = (sum(line[word] for line in paired) for word in ("gained", "lost"))
    difference = (gained - lost) / count
    error = sqrt(((gained + lost) / count - difference**2) / count)
    low, high = (100 * (difference + sign * 1.96 * error) for sign in (-1, 1))
    return f"{100 * difference:+.2f}", f"{low:+.2f} to {high:+.2f}"


def _of(lines: Sequence[Line], network: str, form: str) -> list[Line]:
    return [line for line in lines if line["network"] == network and line["form"] == form]


def _split(lines: Sequence[Line]) -> Iterator[tuple[str, list[Line]]]:
    for framework in _NAMES:
        if own := [line for line in lines if line["framework"] == framework]:
            yield framework, own


def _by_framework(
    lines: Sequence[Line], network: str, variant: str, form: str
) -> list[tuple[str, list[Line]]]:
    found = [line for line in _of(lines, network, form) if line["variant"] == variant]
    whole = [line for line in found if "refused" not in line]
    return [(_NAMES[framework], own) for framework, own in _split(whole)]


def _is_dense_of(dense: Line, line: Line) -> bool:
    same = all(dense[word] == line[word] for word in ("framework", "seed"))
    return same and dense["variant"] == DENSE and "cycles" in dense


def _whose(line: Line) -> tuple[str, str, str]:
    return NETWORKS[line["network"]].title, _NAMES[line["framework"]], line["variant"]


def _ordered(lines: Sequence[Line]) -> list[Line]:
    orders = list(NETWORKS), list(_NAMES), list(POLICIES), list(FORMS)
    words = ("network", "framework", "variant", "form")
    return sorted(
        lines, key=lambda line: [o.index(line[w]) for o, w in zip(orders, words, strict=True)]
    )


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
