"""InceptionV3, MobileNetV1 and GNMT at the size of publications: counts, masks, one update."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from full_size.networks import NETWORKS, in_order
from full_size.updates import digest, update
from page_tables import table
from records import Line, Outcome, Run

from tasks import Task

NAME = "full_size"
_ROWS = (
    *(("MobileNetV1", sparsity) for sparsity in (0.5, 0.75, 0.9)),
    *(("InceptionV3", sparsity) for sparsity in (0.5, 0.75, 0.875)),
    *(("GNMT", sparsity) for sparsity in (0.8, 0.85, 0.9)),
)
_FORMS = {
    "global": {"distribution": "global"},
    "4x1 blocks": {"pattern": {"kind": "block", "out": 4, "in": 1}},
}
"""What else is done to GNMT at 80 %."""


def runs(quick: bool) -> Iterator[Run]:
    """Yield every run: each network and sparsity in both frameworks."""
    for network, sparsity in _ROWS[:1] if quick else _ROWS:
        for framework in ("torch", "keras"):
            yield _run(network, sparsity, framework, "", quick)
    if not quick:
        for form in _FORMS:
            for framework in ("torch", "keras"):
                yield _run("GNMT", 0.8, framework, form, quick)


def _run(network: str, sparsity: float, framework: str, form: str, quick: bool) -> Run:
    rules = NETWORKS[network].rules(framework)
    rules = [*rules[:-1], {**rules[-1], **_FORMS.get(form, {})}]
    schedule = {"kind": "constant", "final_sparsity": sparsity, "begin_step": 1}
    policy = {"schedule": schedule, "rules": rules}
    row = f"{network}, {100 * sparsity:g} %" + (f", {form}" if form else "")
    options = {"network": network, "sparsity": sparsity}
    return Run(NAME, row, framework, 0, quick, policy, options)


def make(run: Run, folder: Path) -> Outcome:
    """Update the masks of one network once, save it, and count what was saved."""
    network = NETWORKS[run.options["network"]]
    model = getattr(network, run.framework)()
    gc.collect()
    seconds, mebibytes, masks = update(model, run.policy)
    if run.options["network"] == "GNMT":
        names = sorted(masks)  # the twins name their layers alike
    else:
        names = [f"{name}:kernel" for name in in_order(run.framework, model)]
    file = _save(run, model, folder)
    vectors = _vectors(run.framework, model)
    more = {
        "masks": digest(masks, names),
        "mask bits": sum(mask.size for mask in masks.values()),
        "vectors": vectors,
        "update seconds": round(seconds, 3),
        "mebibytes": round(mebibytes),
    }
    kept = sum(int(mask.sum()) for mask in masks.values())
    return Outcome("weights that stay, millions", kept / 1e6, file, more)


def _save(run: Run, model: Any, folder: Path) -> Path:
    # all runs write the same two files: GNMT's are of 0.8 GB
    if run.framework == "keras":
        file = folder / f"{NAME}.weights.h5"
        model.save_weights(file)
        return file
    from safetensors.torch import save_file

    file = folder / f"{NAME}.safetensors"
    save_file({name: value.detach() for name, value in model.named_parameters()}, file)
    return file


def _vectors(framework: str, model: Any) -> int:
    """Return how many trained numbers are in no matrix."""
    if framework == "keras":
        sizes = [(len(v.shape), int(v.numpy().size)) for v in model.trainable_variables]
    else:
        sizes = [(p.ndim, p.numel()) for p in model.parameters()]
    return sum(size for rank, size in sizes if rank < 2)


def page(lines: Sequence[Line]) -> str:
    """Return the page."""
    order = [run.key[:2] for run in runs(False)]
    full = [line for line in lines if not line["quick"]]
    full.sort(key=lambda line: order.index((line["row"], line["framework"])))
    parts = [_INTRODUCTION, _counts(full), _HOW_TO_READ, _updates(full)]
    quick = [line for line in lines if line["quick"]]
    if quick:
        parts += ["## Quick rows", _counts(quick)]
    return "\n\n".join(parts)


def _counts(lines: Sequence[Line]) -> str:
    head = ("network", "in", "parameters", "in matrices", "not zero", "published", "equal masks")
    rows = []
    for line in lines:
        name, sparsity = line["options"]["network"], line["options"]["sparsity"]
        vectors = line["vectors"] if NETWORKS[name].vectors else 0
        twins = {x["masks"] for x in lines if x["row"] == line["row"]}
        both = sum(x["row"] == line["row"] for x in lines) == 2
        rows.append(
            (
                line["row"],
                {"keras": "Keras", "torch": "PyTorch"}[line["framework"]],
                line["weights"] + line["vectors"],
                line["weights"],
                f"{(line['nonzeros'] + vectors) / 1e6:.2f} M",
                f"{NETWORKS[name].published[sparsity]:g} M",
                "yes" if both and len(twins) == 1 else "no" if both else "",
            )
        )
    return table(head, rows, words=2)


def _updates(lines: Sequence[Line]) -> str:
    head = ("network", "in", "mask bits", "processor seconds", "memory, MiB")
    rows = [
        (
            line["row"],
            {"keras": "Keras", "torch": "PyTorch"}[line["framework"]],
            line["mask bits"],
            f"{line['update seconds']:.2f}" if "update seconds" in line else "",
            line["mebibytes"],
        )
        for line in lines
    ]
    return f"## One update of the masks\n\n{_UPDATE}\n\n{table(head, rows, words=2)}"


_INTRODUCTION = """\
Three networks at the size of "To prune, or not to prune" (arXiv 1710.01878), with random weights:
nothing is trained here, only counted. The weights are drawn by name, the same in both frameworks,
each framework in a process of its own. "Not zero" is counted in the saved file by a reader that
knows nothing of secateur; the masks are equal if the SHA-256 over all their bits is."""
_HOW_TO_READ = """\
How the counts come to those of the publication:

- **InceptionV3** has 27.16 M parameters with its auxiliary head, which counts in the published
  27.1 M. `keras.applications` leaves that head out (23.9 M), so it is added here. Every
  kernel is pruned; the published count is that of kernels, so "not zero" leaves out vectors
  (biases, and what normalisation learns; Keras learns no gain for its convolutions, which is
  the difference in parameters). At 87.5 % an eighth is 3.39 M, which the publication writes
  as 3.3 M.
- **MobileNetV1** has 4,209,088 weights in kernels: the published 4.21 M. The depthwise
  convolutions and the first one stay dense, as there; without that the half would be 2.10 M.
- **GNMT** has 210.88 M parameters in Keras: 36,548 words in each language, 1024 units, an encoder
  of one layer that reads both ways and three more, a decoder of four with attention. Embeddings,
  LSTM layers and the output are pruned, attention and biases are not, and everything counts:
  43.88 M at 80 %, the published 44 M. PyTorch has two biases in each LSTM layer where Keras has
  one: 36,864 parameters more."""
_UPDATE = """\
All masks of a network once, by `pruner.step()`, from dense weights: reading the weights, choosing
what stays, and setting the rest to zero. Memory is the most that the process had during that beyond
what it had before, the new masks included. The time is that of the processor, all threads together,
for the machine had other work; the first update, so with what a framework prepares once. Its noise
is large against the small networks."""

TASK = Task("Published networks at full size, counted", runs, make, page, ())
