"""Criteria: what decides which weights stay, on MNIST and spoken digits at 90 and 95 %."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from pages import comparison, quick_rows, sections
from policies import DENSE, Policy, at_once, gradual, percent
from records import Line, Outcome, Run
from samples import part
from training import Recipe, Training, classify

from tasks import Task, mnist, speech
from tasks.classifier import FRAMEWORKS, SEEDS, Classifier

_DATA: dict[str, tuple[Classifier, tuple[int, int], Recipe, int]] = {
    "MNIST": (mnist.CLASSIFIER, (20_000, 10_000), Recipe(3, 128, 4e-3), 20),
    "spoken digits": (speech.CLASSIFIER, (2_000, 600), Recipe(4, 25, 4e-3), 10),
}
"""By data: its network, samples to train and test on, how it is trained, steps between updates."""
_SPARSITIES = (0.9, 0.95)
_ALIKE = {"distribution": "erk"}
_WATCHING = ("magnitude", "saliency", "movement")
_QUICK_ROWS = ("MNIST: dense", "MNIST, 90 %: magnitude", "MNIST, 90 %: saliency")
_TEXT = """The networks of [MNIST](mnist.md) and of [spoken digits](speech.md), trained for less
time, so that this table can be made again in an hour: MNIST on 20,000 images, in 3 epochs, and the
spoken digits in 4. **All criteria have the same steps, seeds, initial weights and samples, and the
same sparsity in each layer (`erk`), in Keras and in PyTorch.** Nothing was tuned for any of them.

- *magnitude*, *saliency*, *movement*: gradual, a polynomial decay from a tenth of the run to three
  quarters of it.
- *RigL*: as sparse from the first step; up to three quarters of the run the smallest weights go
  and those with the largest gradient come. *AC/DC*: dense and sparse phases in turn, up to three
  quarters of the run.
- *random*: as sparse from the first step, at random.

What the rows say:

- **On images magnitude and movement come out alike; on speech movement is ahead**, by more than
  half a point at 90 % and by one and a half to two points at 95 %.
- *Saliency* looks at one batch at each update of the masks, and lies below both.
- *RigL* and *AC/DC* need longer runs than these: RigL moves weights for a few hundred steps here,
  and is barely above random masks.
- Keras and PyTorch agree in every row within the spread of the seeds."""
_QUICK = """3,600 images in 3 epochs. A test repeats one of these runs, which must lie within
the interval."""


def _policies(sparsity: float, frequency: int) -> dict[str, Policy]:
    found = {name: gradual(sparsity, frequency, criterion=name, **_ALIKE) for name in _WATCHING}
    ends = {"final_sparsity": sparsity, "end_step": "75%"}
    rigl = {"kind": "constant", "frequency": frequency, **ends}
    found["RigL"] = {"schedule": rigl, "criterion": "rigl", **_ALIKE}
    found["AC/DC"] = {"schedule": {"kind": "ac_dc", "begin_step": "10%", **ends}, **_ALIKE}
    found["random"] = at_once(sparsity, 0, criterion="random", **_ALIKE)
    return found


def _row(data: str, name: str, sparsity: float | None = None) -> str:
    return f"{data}, {percent(sparsity)}: {name}" if sparsity else f"{data}: {name}"


def _rows(data: str) -> dict[str, Policy | None]:
    frequency = _DATA[data][3]
    found: dict[str, Policy | None] = {_row(data, DENSE): None}
    for sparsity in _SPARSITIES:
        for name, policy in _policies(sparsity, frequency).items():
            found[_row(data, name, sparsity)] = policy
    return found


def _runs(quick: bool) -> Iterator[Run]:
    for seed in range(SEEDS):
        for data in _DATA:
            for row, policy in _rows(data).items():
                if quick and row not in _QUICK_ROWS:
                    continue
                for framework in FRAMEWORKS:
                    yield Run("criteria", row, framework, seed, quick, policy, {"data": data})


def _make(run: Run, folder: Path) -> Outcome:
    classifier, sizes, recipe, _ = _DATA[run.options["data"]]
    split = classifier.few_samples() if run.quick else part(classifier.split(), *sizes)
    network = classifier.network
    return classify(run, Training(network, network.sizes, split, recipe, run.seed), folder)


def _page(lines: Sequence[Line]) -> str:
    full = [line for line in lines if not line["quick"]]
    tables = [
        (data, "In percent.", comparison(full, list(_rows(data)), _row(data, DENSE)))
        for data in _DATA
    ]
    return sections(("", _TEXT, "always"), *tables, ("Quick rows", _QUICK, quick_rows(lines)))


TASK = Task("Criteria: which weights stay", _runs, _make, _page, ())
