"""What the tasks that train a classifier have in common: rows, seeds, twins, and the page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from networks import Network
from pages import Aim, agreement, aims, comparison, quick_rows, sections, tried_rows
from peers import PEERS, in_their_environment
from policies import DENSE, Policy, percent
from records import Line, Outcome, Run
from samples import Split, part
from training import Recipe, Training, classify
from twins import prune_twins

from tasks import Task

SEEDS = 3
FRAMEWORKS = ("torch", "keras")
_TRIED = "tried: "
_TELLING = (0.8, 0.9)
_DIFFERENCE = """"To dense" is the difference to the dense network of the same framework and the
same seed; its interval is that of Student's t over seeds. With three seeds it is wide, and one seed
has none. Non-zeros are those of the saved file of the first seed, counted by a reader that knows
nothing of secateur."""
_AGREEMENT = """The dense network, trained in PyTorch, is put into both frameworks and pruned in one
shot, and is not trained on. The masks are read from the two saved files."""
_REPEATED = "A test repeats one of these runs, and checks that it lies within the interval."
_ROWS = """- *dense*: never pruned.
- *smaller dense*: a dense network, narrower in every layer by one factor, with as many weights as
  stay in the pruned ones.
- *random masks*: as sparse from the first step, at random, the sparsity of each weight by `erk`.
- *one shot*: pruned by magnitude in one step, half way, with one threshold for all layers
  (`global`); it trains on under that mask.
- *gradual*: the same in many steps, a polynomial decay from a tenth of the run to three
  quarters."""
_TRIALS = """On the samples for choosing alone, in PyTorch, never on the test set."""


@dataclass(frozen=True)
class Classifier:
    """A task that trains a classifier.

    Attributes:
        name: The name of the task.
        title: Its title.
        text: What its page says first.
        network: The network.
        split: Loads the samples.
        recipe: How it is trained.
        quick: How it is trained in a short run.
        few: Loads the samples of a short run: those that come by pip.
        quick_part: How many of these a short run trains on, and how many it is tested on.
        rows: Returns the policies of the rows from the steps between two updates of the masks; a
            number is the sparsity that a smaller dense network stands for.
        headlines: The rows that are made with three seeds, dense first.
        quick_rows: The rows that are made in short runs.
        at_once: Returns the policy of a network that is pruned in both frameworks, by sparsity.
        sparsities: How sparse these are.
        tried: Policies and options that were tried, by what they are called.
        aims: What was hoped for before anything was measured.
        learned: What the figures say about the aims.
        peers: The rows that a peer can make too.
        frequency: The steps between two updates of the masks, and that in a short run.

    """

    name: str
    title: str
    text: str
    network: Network
    split: Callable[[], Split]
    recipe: Recipe
    quick: Recipe
    few: Callable[[], Split]
    quick_part: tuple[int, int]
    rows: Callable[[int], Mapping[str, Policy | float | None]]
    headlines: tuple[str, ...]
    quick_rows: tuple[str, ...]
    at_once: Callable[[float], Policy]
    sparsities: tuple[float, ...]
    tried: Mapping[str, tuple[Policy | None, Mapping[str, Any]]] = field(default_factory=dict)
    aims: tuple[Aim, ...] = ()
    learned: str = ""
    peers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    frequency: tuple[int, int] = (50, 10)

    def task(self) -> Task:
        """Return the task."""
        return Task(self.title, self.runs, self.make, self.page, self.headlines)

    def runs(self, quick: bool) -> Iterator[Run]:
        """Yield the runs: the rows of the first page, then the first seed of all, then the rest."""
        if quick:
            yield from self._quick()
            return
        every = self._rows(self.frequency[0])
        for seed in range(SEEDS):
            for row in self.headlines:
                yield from (replace(every[row], framework=f, seed=seed) for f in FRAMEWORKS)
        late = [percent(sparsity) for sparsity in self.sparsities if sparsity not in _TELLING]
        order = sorted(every.values(), key=lambda run: run.row.endswith(tuple(late)))
        yield from map(self._twins, self.sparsities)
        yield from order
        yield from self._peers()
        yield from self._trials()
        yield from (replace(run, framework="keras") for run in order)
        for seed in range(1, SEEDS):
            for run in order:
                if run.row.endswith(tuple(map(percent, _TELLING))):
                    yield from (replace(run, framework=f, seed=seed) for f in FRAMEWORKS)

    def make(self, run: Run, folder: Path) -> Outcome:
        """Make a run."""
        if run.framework in PEERS:
            return in_their_environment(run, folder)
        training = self.training(run)
        if run.framework == "both":
            return prune_twins(run, training, folder)
        return classify(run, training, folder)

    def training(self, run: Run) -> Training:
        """Return how a run trains."""
        split, recipe, options = self.split, self.recipe, run.options
        if run.quick:
            split, recipe = self.few_samples, self.quick
        changed = {name: options[name] for name in ("rate", "epochs") if name in options}
        recipe = replace(recipe, **changed)
        sizes = tuple(options.get("sizes", self.network.sizes))
        if "smaller" in options:
            sizes = self.network.smaller(options["smaller"])
        return Training(self.network, sizes, split(), recipe, run.seed)

    def few_samples(self) -> Split:
        """Return the samples of a short run."""
        return part(self.few(), *self.quick_part)

    def page(self, lines: Sequence[Line]) -> str:
        """Return the page."""
        full = [line for line in lines if not line["quick"]]
        weights = self.network.weights(self.network.sizes)
        train, test = self.quick_part
        text = self.text.format(weights=weights, rows=_ROWS, **vars(self.recipe))
        return sections(
            ("", text, "always"),
            ("Accuracy", _DIFFERENCE, comparison(full, list(self.rows(1)), DENSE)),
            ("Aims", self.learned, aims(full, self.aims, DENSE)),
            ("Do the masks agree?", _AGREEMENT, agreement(full)),
            ("What was tried", _TRIALS, tried_rows(full, _TRIED)),
            (
                "Quick rows",
                f"{train:,} samples, {self.quick.epochs} epochs, {test:,} to test on. {_REPEATED}",
                quick_rows(lines),
            ),
        )

    def _rows(self, frequency: int) -> dict[str, Run]:
        """Return a run for each row of the table."""
        found = {}
        for row, policy in self.rows(frequency).items():
            if isinstance(policy, float):
                found[row] = Run(self.name, row, "torch", options={"smaller": policy})
            else:
                found[row] = Run(self.name, row, "torch", policy=policy)
        return found

    def _quick(self) -> Iterator[Run]:
        rows = self._rows(self.frequency[1])
        for seed in range(SEEDS):
            for row in self.quick_rows:
                for framework in FRAMEWORKS:
                    yield replace(rows[row], framework=framework, seed=seed, quick=True)
        yield replace(self._twins(0.9), quick=True)

    def _peers(self) -> Iterator[Run]:
        """Yield the runs of the peers: the schedules of rows that they can do."""
        every = self._rows(self.frequency[0])
        for peer, rows in self.peers.items():
            for row in rows:
                policy = every[row].policy
                assert policy is not None
                options = {"schedule": policy["schedule"]}
                yield replace(every[row], framework=peer, policy=None, options=options)

    def _trials(self) -> Iterator[Run]:
        for name, (policy, options) in self.tried.items():
            for seed in range(SEEDS):
                yield Run(self.name, f"{_TRIED}{name}", "torch", seed, False, policy, options)

    def _twins(self, sparsity: float) -> Run:
        row = f"one shot, not trained on, {percent(sparsity)}"
        return Run(self.name, row, "both", policy=self.at_once(sparsity))
