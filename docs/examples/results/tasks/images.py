"""What MNIST and Fashion-MNIST have in common: a network, its runs, and how their page reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from networks import CNN
from pages import agreement, comparison, quick_rows, tried_rows
from policies import DENSE, at_once, blocks_at, gradual, rows_at, two_of_four
from records import Line, Outcome, Run
from samples import part
from training import Recipe, Split, Training, classify
from twins import prune_twins

from tasks import Task

_FULL, _QUICK = Recipe(3, 128, 2e-3), Recipe(3, 64, 2e-3)
_FREQUENCY, _QUICK_FREQUENCY = 50, 10
_QUICK_SIZES = (10_000, 2_000)
_HEADLINES = (0.8, 0.9)
_FRAMEWORKS = ("torch", "keras")
_AT_THE_END = "one shot, not trained on"
_TRIED = "tried"
_PAGE = """The network has two convolutions, 5x5 with a stride of 2 (8 and 16 channels), and two
dense layers (128 and 10): {weights:,} weights. Every kernel is pruned, each to the sparsity of its
row. It is small, so that the table can be made again in an hour. 55,000 images are trained on,
5,000 are kept for choosing hyperparameters, and the 10,000 of the test set give the figures, in
percent. A run is {epochs} epochs in batches of {batch}, Adam, whose rate falls from {rate} to 0 in
a line. **Every run is as long as the dense one, and starts from the same weights in Keras and in
PyTorch, with the same images in the same order.**

- *dense*: never pruned.
- *smaller dense*: a dense network, narrower in every layer by one factor, with as many weights as
  stay in the pruned ones.
- *random masks*: as sparse from the first step, at random.
- *one shot*: pruned by magnitude in one step, half way; it trains on under that mask.
- *gradual*: by magnitude, a polynomial decay from a tenth of the run to three quarters of it.
- *1x2 blocks*, *4x1 blocks*: gradual, in blocks of outputs x inputs. *2:4*: one shot, half way.

"To dense" is the difference to the dense network of the same framework and the same seed; its
interval is that of Student's t over seeds. With three seeds it is wide, and one seed has none.

{table}

## Do the masks agree?

The dense network, trained in PyTorch, is put into both frameworks and pruned in one shot, and is
not trained on. The masks are read from the saved files by a reader that knows nothing of secateur.

{agreement}

## What was tried

On the 5,000 images for choosing alone, in PyTorch, with one seed; what stands above was fixed
after this, and not changed when the test figures were seen.

{tried}

## Quick rows

10,000 images, 2,000 to test on. A test repeats some of these runs, and fails when one
falls out of its interval.

{quick}
"""


@dataclass(frozen=True)
class Images:
    """A task on images of 28 x 28.

    Attributes:
        name: The name of the task.
        title: Its title.
        split: Loads its images.
        sparsities: How sparse the networks become.
        blocks: Whether blocks and 2:4 are measured too.

    """

    name: str
    title: str
    split: Callable[[], Split]
    sparsities: tuple[float, ...]
    blocks: bool

    def task(self) -> Task:
        """Return the task."""
        words = [f"gradual, {sparsity:.0%}".replace("%", " %") for sparsity in _HEADLINES]
        return Task(self.title, self.runs, self.make, self.page, (DENSE, *words))

    def runs(self, quick: bool) -> Iterator[Run]:
        """Yield the runs of the tables."""
        if quick:
            yield from self._quick()
            return
        yield from self._tried()
        headlines = {row for s in _HEADLINES for row in rows_at(s, _FREQUENCY)} | {DENSE}
        every = self._rows()
        for seed in range(3):
            for row, run in every.items():
                if row in headlines:
                    yield from (replace(run, framework=f, seed=seed) for f in _FRAMEWORKS)
        for row, run in every.items():
            if row not in headlines:
                yield from (replace(run, framework=f) for f in _FRAMEWORKS)
        for sparsity in self.sparsities:
            yield self._twins(sparsity)

    def make(self, run: Run, folder: Path) -> Outcome:
        """Make a run."""
        split, recipe = self.split(), _FULL
        if run.quick:
            split, recipe = part(split, *_QUICK_SIZES), _QUICK
        recipe = replace(recipe, rate=run.options.get("rate", recipe.rate))
        smaller = run.options.get("smaller")
        sizes = CNN.smaller(smaller) if smaller else CNN.sizes
        training = Training(CNN, sizes, split, recipe, run.seed)
        if run.framework == "both":
            return prune_twins(run, training, folder)
        return classify(run, training, folder)

    def page(self, lines: Sequence[Line]) -> str:
        """Return the page."""
        full = [line for line in lines if not line["quick"]]
        return _PAGE.format(
            weights=CNN.weights(CNN.sizes),
            **vars(_FULL),
            table=comparison(full, list(self._rows()), DENSE),
            agreement=agreement(full),
            tried=tried_rows(full, _TRIED),
            quick=quick_rows(lines),
        )

    def _rows(self, frequency: int = _FREQUENCY) -> dict[str, Run]:
        """Return a run for each row of the table."""
        found = {DENSE: Run(self.name, DENSE, "torch")}
        for sparsity in self.sparsities:
            policies = dict(rows_at(sparsity, frequency))
            if self.blocks:
                policies |= blocks_at(sparsity, frequency)
            for row, policy in policies.items():
                options = {} if policy else {"smaller": sparsity}
                found[row] = Run(self.name, row, "torch", policy=policy, options=options)
        if self.blocks:
            found["2:4"] = Run(self.name, "2:4", "torch", policy=two_of_four())
        return found

    def _quick(self) -> Iterator[Run]:
        rows = self._rows(_QUICK_FREQUENCY)
        for seed in range(3):
            for row in (DENSE, *rows_at(0.9, _QUICK_FREQUENCY)):
                for framework in _FRAMEWORKS:
                    yield replace(rows[row], framework=framework, seed=seed, quick=True)
        yield replace(self._twins(0.9), quick=True)

    def _twins(self, sparsity: float) -> Run:
        row = f"{_AT_THE_END}, {sparsity:.0%}".replace("%", " %")
        return Run(self.name, row, "both", policy=at_once(sparsity, 0))

    def _tried(self) -> Iterator[Run]:
        for rate in (1e-3, 2e-3, 4e-3):
            row = f"{_TRIED}: dense, rate {rate}"
            yield Run(self.name, row, "torch", options={"rate": rate})
        for sparsity in (0.9, 0.98):
            for distribution in ("uniform", "erk", "global"):
                policy = gradual(sparsity, _FREQUENCY, distribution=distribution)
                row = f"{_TRIED}: gradual, {sparsity:.0%}, {distribution}".replace("%", " %")
                yield Run(self.name, row, "torch", policy=policy)
