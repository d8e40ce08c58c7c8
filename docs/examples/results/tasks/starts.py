"""What we learned: when to begin, how long to go on without updates, along which curve."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from networks import CNN
from pages import comparison, quick_rows, sections
from pictures import courses, spreads
from policies import DENSE, Policy
from records import Line, Outcome, Run
from samples import digits, few_digits, part
from training import Recipe, Training, classify

from tasks import Task
from tasks.classifier import SEEDS

_FULL, _QUICK = Recipe(3, 128, 4e-3), Recipe(5, 50, 4e-3)
_PART = 20_000, 10_000
_USUAL = "begin 10 %, end 75 %, power 3"
_SPARSITY = 0.98
_TEXT = """One question at a time, with everything else as usual: {usual}. The network of
[MNIST](mnist.md) in PyTorch, trained on 20,000 images for {epochs} epochs, to 98 % with one
threshold for all layers: sparse enough that a schedule makes a difference. All rows have as many
updates as the dense one, the same initial weights and the same images in the same order.

Three rules of thumb, from the rows below:

1. **Begin early.** A start in the first tenth was as good as one at the first step. A quarter into
   the run costs more than a point, half way many. `begin_when` waits for convergence, which comes
   late in a run of fixed length: use it where the run may then go on for longer.
2. **Prune fast at first, and slowly at the end.** Powers 3 and 5 came out alike; a cosine lies some
   points behind, and a straight line more: worse than all at once half way.
3. **Leave a part without updates, and do not mind how long.** The means of ends at 40, 60, 75 and
   90 % of the run lie within 0.4 points; that of an end at 100 %, which leaves none, is 0.4 to 0.8
   points below them, about as much as seeds differ.

![The loss and the sparsity in training, for each way to begin](starts-course.png)

![The accuracy of each row](starts-spread.png)"""


_REPEATED = """3,600 images in 5 epochs. A test repeats one of these runs, which must lie
within the interval."""


@dataclass(frozen=True)
class _Question:
    """What is varied, and the schedules that answer it."""

    title: str
    text: str
    answers: Mapping[str, Mapping[str, Any]]


def _schedule(**changed: Any) -> dict[str, Any]:
    usual = {
        "kind": "polynomial",
        "final_sparsity": _SPARSITY,
        "begin_step": "10%",
        "end_step": "75%",
        "frequency": 20,
    }
    return usual | changed


_CONVERGED = {"monitor": "loss", "window": 40, "min_delta": 0.02, "latest": "60%"}
_QUESTIONS = (
    _Question(
        "When to begin",
        "From the first step, at a fixed step, or when the loss has converged (`begin_when`: the "
        "mean of 40 losses is less than 0.02 better than that of the 40 before). All end at 75 %.",
        {
            "begin at once": _schedule(begin_step=0),
            _USUAL: _schedule(),
            "begin 25 %": _schedule(begin_step="25%"),
            "begin 50 %": _schedule(begin_step="50%"),
            "begin when converged": _schedule(begin_step=0, begin_when=_CONVERGED),
        },
    ),
    _Question(
        "How long the last part should be",
        "After `end_step` the masks stay, and what is left learns on.",
        {
            "end 40 %": _schedule(end_step="40%"),
            "end 60 %": _schedule(end_step="60%"),
            _USUAL: _schedule(),
            "end 90 %": _schedule(end_step="90%"),
            "end 100 %": _schedule(end_step="100%"),
        },
    ),
    _Question(
        "Along which curve",
        "Straight (power 1), fast at first and slow at the end (power 3), or a cosine.",
        {
            "power 1": _schedule(power=1),
            _USUAL: _schedule(),
            "power 5": _schedule(power=5),
            "cosine": _schedule(kind="cosine"),
            "all at once, 50 %": {
                "kind": "one_shot",
                "final_sparsity": _SPARSITY,
                "begin_step": "50%",
            },
        },
    ),
)


def _policy(schedule: Mapping[str, Any]) -> Policy:
    return {"schedule": dict(schedule), "distribution": "global"}


def _rows() -> dict[str, Policy | None]:
    found: dict[str, Policy | None] = {DENSE: None}
    for question in _QUESTIONS:
        found |= {row: _policy(schedule) for row, schedule in question.answers.items()}
    return found


def _runs(quick: bool) -> Iterator[Run]:
    for seed in range(SEEDS):
        for row, policy in _rows().items():
            if not quick or row in (DENSE, _USUAL):
                course = {} if quick else {"course": True}
                yield Run("starts", row, "torch", seed, quick, policy, course)


def _make(run: Run, folder: Path) -> Outcome:
    recipe, split = (_QUICK, few_digits()) if run.quick else (_FULL, part(digits(), *_PART))
    return classify(run, Training(CNN, CNN.sizes, split, recipe, run.seed), folder)


def _page(lines: Sequence[Line]) -> str:
    full = [line for line in lines if not line["quick"]]
    tables = [
        (question.title, question.text, comparison(full, [DENSE, *question.answers], DENSE))
        for question in _QUESTIONS
    ]
    text = _TEXT.format(usual=_USUAL, epochs=_FULL.epochs)
    quick = ("Quick rows", _REPEATED, quick_rows(lines))
    return sections(("", text, "always"), *tables, quick)


def _pictures(lines: Sequence[Line], folder: Path) -> None:
    full = [line for line in lines if not line["quick"]]
    if not full:
        return
    courses(full, [DENSE, *_QUESTIONS[0].answers], folder / "starts-course.png")
    spreads(
        full,
        {question.title: list(question.answers) for question in _QUESTIONS},
        folder / "starts-spread.png",
    )


TASK = Task("What we learned", _runs, _make, _page, (), _pictures)
