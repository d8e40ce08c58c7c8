"""The pruner behind a marked model: found again by every callback, begun by the first."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import secateur
from secateur.errors import ScheduleWarning, StateWarning
from secateur_keras.tfmot.mark import Marking, is_marked, marked_variables
from secateur_keras.tfmot.policies import to_policy
from secateur_keras.tfmot.recovery import repair_optimizer
from secateur_keras.weight import KerasWeight


@dataclass(eq=False)
class Run:
    """One model under pruning.

    Attributes:
        pruner: Its pruner.
        variables: The ids of what is marked in it.
        weights: Its weights.
        catch_up: Takes the steps that the optimizer has made since the last look.

    """

    pruner: secateur.Pruner
    variables: frozenset[int]
    weights: Sequence[KerasWeight]
    catch_up: Callable[[], None]

    def __call__(self) -> int:
        """Return the number of updates made under pruning."""
        if self.pruner.attached:
            self.catch_up()
        return self.pruner.current_step


def begin(model: Any) -> Run | None:
    """Return the run of a model, which a pruner may do already; None for one without marks.

    Masks are applied from then on: those of step 0, or of the step that a file was saved at.

    Args:
        model: A built model.

    Raises:
        PolicyError: The policy does not fit.
        ModelError: There is nothing to prune, or the model is not built.

    """
    marks = marked_variables(model)
    if not marks:
        if is_marked(model):
            to_policy(model)  # which says what is not built
        return None
    variables = frozenset(marks)
    runs = [run for run in _runs(marks) if run.pruner.attached]
    if len(runs) == 1 and runs[0].variables == variables:
        return runs[0]
    repair_optimizer(model)
    step = max(mark.progress.step for mark in marks.values())
    policy = to_policy(model)
    _end(runs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ScheduleWarning)  # the frequency is the user's own
        if step:  # it goes on with weights that are pruned already
            warnings.simplefilter("ignore", StateWarning)
        pruner = secateur.attach(model, policy)
        if step:
            pruner.step(step)
    run = Run(pruner, variables, pruner.callback().weights, _nothing)
    for mark in marks.values():
        mark.progress.live = run
    object.__setattr__(model, "secateur_policy", policy)
    return run


def end_runs(layer: Any) -> None:
    """Let go of every pruner of a layer or model; the steps stay with the marks."""
    _end(list(_runs(marked_variables(layer))))


def notes_of_runs(model: Any) -> Iterator[str]:
    """Yield what is not as planned in the runs of a model, whose weights are masked now."""
    for run in _runs(marked_variables(model)):
        if run.pruner.attached:
            run.catch_up()
            run.pruner.step(0)
            yield from run.pruner.report().notes


def figures(model: Any) -> tuple[int, dict[str, float]]:
    """Return the step of a model's pruning, and sparsity and threshold of each pruned weight.

    Args:
        model: A model; before its training begins, nothing of it is pruned.

    """
    step = 0
    values: dict[str, float] = {}
    for run in _runs(marked_variables(model)):
        step = run()
        weights = {weight.spec.name: weight for weight in run.weights}
        for name, mask in run.pruner.masks.items():
            kept = np.abs(weights[name].read()[mask].astype(np.float64))
            values[f"{name}/sparsity"] = 1 - int(np.count_nonzero(mask)) / max(mask.size, 1)
            values[f"{name}/threshold"] = float(kept.min()) if kept.size else 0.0
    return step, values


def _runs(marks: dict[int, Marking]) -> Iterator[Run]:
    found = {id(mark.progress.live): mark.progress.live for mark in marks.values()}
    yield from (run for run in found.values() if isinstance(run, Run))


def _end(runs: list[Run]) -> None:
    for run in runs:
        with warnings.catch_warnings():  # that it is not at its end is meant
            warnings.simplefilter("ignore")
            run.pruner.detach()


def _nothing() -> None:
    pass
