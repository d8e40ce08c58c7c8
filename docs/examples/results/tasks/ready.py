"""The ready policies as they ship, on MNIST and spoken digits: what each costs in accuracy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pages import comparison, quick_rows, sections
from policies import DENSE
from records import Line, Outcome, Run
from training import classify

from tasks import Task, mnist, speech
from tasks.classifier import SEEDS, Classifier

NAME = "ready"
NETWORKS: Mapping[str, tuple[Classifier, int]] = {
    "MNIST": (mnist.CLASSIFIER, 3),
    "spoken digits": (speech.CLASSIFIER, 8),
}
"""By data: what trains on it, and for how many epochs."""
_IN_BOTH = ("cnn-80", "rnn-80", "ethos-u85-2to4")
_RIGHT = "Percent of the test samples that get their own class."
_QUICK_ROW = "cnn-80"
_TEXT = """Each [ready policy](../reference/ready-policies.md) as it ships: a run attaches it by its
name, with `total_steps=`, and changes nothing in it. The networks, the samples and the training are
those of [MNIST](mnist.md), in three epochs instead of six, and of [spoken digits](speech.md), with
the same initial weights and samples in Keras and in PyTorch. The page of each policy has its
figures, too.

- Gradual policies (`cnn-80`, `cnn-block-4x1`, `fpga-90`, `rnn-80`) prune while the network is
  trained from its initial weights; they are compared with *dense*, as long a training without them.
- Policies of one shot (`ethos-u85-2to4`, `apple-14of16`) are for a network that is trained already:
  the dense one is loaded, pruned at once, and trained once more, by the same recipe. They are
  compared with *dense, trained twice*, which is as long a training without them.

"Deviation" is the standard deviation over seeds. "To dense" is the difference to
that dense network, seed by seed, with the interval of Student's t. Non-zeros are counted in the
saved file of the first seed, biases left out, by a reader that knows nothing of secateur."""
_REPEATED = """3,600 images in 5 epochs. A test repeats one of these runs, which must lie within the
interval."""


@dataclass(frozen=True)
class Shown:
    """How a ready policy is shown.

    Attributes:
        network: The data, and so the network, that it is shown on.
        fine_tuned: Whether it prunes a network that is trained already.

    """

    network: str
    fine_tuned: bool = False

    @property
    def base(self) -> str:
        """The row that it is compared with."""
        return f"{self.network}: {DENSE}" + ", trained twice" * self.fine_tuned


SHOWN: Mapping[str, Shown] = {
    "cnn-80": Shown("MNIST"),
    "rnn-80": Shown("spoken digits"),
    "ethos-u85-2to4": Shown("MNIST", fine_tuned=True),
    "fpga-90": Shown("MNIST"),
    "cnn-block-4x1": Shown("MNIST"),
    "apple-14of16": Shown("MNIST", fine_tuned=True),
}
"""The policies that the networks can show, those first that are made in Keras too."""


UNSHOWN: Mapping[str, str] = {
    "embedding-50": "neither of these networks has an embedding",
    "transformer-2to4": "neither of these networks is a transformer, and none is pretrained here",
}
"""Why the others have no run."""


def _rows() -> dict[str, Shown]:
    """Return how each row is made, the dense networks first."""
    return {shown.base: shown for shown in SHOWN.values()} | dict(SHOWN)


def _frameworks(row: str) -> tuple[str, ...]:
    in_both = {*_IN_BOTH, *(SHOWN[name].base for name in _IN_BOTH)}
    return ("torch", "keras") if row in in_both else ("torch",)


def _runs(quick: bool) -> Iterator[Run]:
    for seed in range(SEEDS):
        if quick:
            yield _run(_QUICK_ROW, "torch", seed, quick)
            continue
        for row in _rows():
            for framework in _frameworks(row):
                yield _run(row, framework, seed, quick)


def _run(row: str, framework: str, seed: int, quick: bool) -> Run:
    policy = {"extends": row} if row in SHOWN else None
    return Run(NAME, row, framework, seed, quick, policy)


def _make(run: Run, folder: Path) -> Outcome:
    shown = _rows()[run.row]
    classifier, epochs = NETWORKS[shown.network]
    training = classifier.training(run)
    if not run.quick:
        training = replace(training, recipe=replace(training.recipe, epochs=epochs))
    if shown.fine_tuned:
        first = replace(run, row=f"{run.row}, before it", policy=None)
        training = replace(training, start=classify(first, training, folder).file)
    outcome = classify(run, training, folder)
    assert outcome.file
    return replace(outcome, more={**outcome.more, **_sizes(run, outcome.file)})


def _sizes(run: Run, file: Path) -> dict[str, int]:
    """Return how many bytes a file takes, and how many `secateur pack` makes of a pruned one."""
    found = {"bytes": file.stat().st_size}
    if run.policy:
        import secateur

        packed = secateur.pack(file, file.with_suffix(".packed"), overwrite=True)
        found["packed bytes"] = packed.size
    return found


def figures(lines: Sequence[Line], name: str) -> str:
    """Return the table of one policy and the dense network that it is compared with."""
    base = SHOWN[name].base
    return comparison([line for line in lines if not line["quick"]], [base, name], base)


def _page(lines: Sequence[Line]) -> str:
    full = [line for line in lines if not line["quick"]]
    tables = []
    for base in dict.fromkeys(shown.base for shown in SHOWN.values()):
        rows = [base, *(name for name, shown in SHOWN.items() if shown.base == base)]
        tables.append((f"Beside {base}", _RIGHT, comparison(full, rows, base)))
    return sections(("", _TEXT, "always"), *tables, ("Quick rows", _REPEATED, quick_rows(lines)))


def _pages_of_policies(lines: Sequence[Line]) -> Mapping[Path, str]:
    from ready_policies import pages  # which needs this module

    return pages(lines)


TASK = Task("Ready policies", _runs, _make, _page, (), elsewhere=_pages_of_policies)
