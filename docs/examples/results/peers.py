"""The same training, pruned by a peer: a script of its own, which their environment runs.

    .venv-peers/bin/python docs/examples/results/peers.py RUN.json

TFMOT needs Keras 2, so it cannot share an environment with secateur; `make results` sets one up.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from networks import fill_keras
from records import ROOT, Outcome, Run
from training import (
    EPSILON,
    Training,
    fresh_torch,
    keras_labels,
    measured,
    torch_labels,
    torch_training,
)

PYTHON = Path(os.environ.get("SECATEUR_PEERS", ROOT / ".venv-peers" / "bin" / "python"))
_MISSING = "{python} is not here: `make results` sets up the environment of the peers"
Schedule = dict[str, Any]


def in_their_environment(run: Run, folder: Path) -> Outcome:
    """Make a run of a peer in the environment of the peers, and return what it came to.

    Raises:
        SystemExit: There is no such environment.

    """
    if not PYTHON.exists():
        raise SystemExit(_MISSING.format(python=PYTHON))
    request = folder / f"{run.name}.json"
    request.write_text(json.dumps(asdict(run)), encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - the interpreter of the peers, no shell
        [str(PYTHON), __file__, str(request)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{run.framework} failed: {done.stderr[-2000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Outcome(answer["metric"], answer["value"], Path(answer["file"]), answer["more"])


def main() -> None:
    """Make the run that a file asks for, and print what it came to."""
    request = Path(sys.argv[1])
    run = Run(**json.loads(request.read_text(encoding="utf-8")))
    training = import_module(f"tasks.{run.task}").CLASSIFIER.training(run)
    outcome = PEERS[run.framework](run, training, request.parent)
    print(json.dumps(asdict(outcome), default=str))


def _tfmot(run: Run, training: Training, folder: Path) -> Outcome:
    import tensorflow_model_optimization as tfmot
    import tf_keras

    pruning = tfmot.sparsity.keras
    plain = training.network.keras(tf_keras, *training.sizes)
    fill_keras(plain, training.network.initial(training.seed, training.sizes))
    schedule = _schedule(run, training)
    decay = pruning.PolynomialDecay(
        0.0,
        schedule["final_sparsity"],
        schedule["begin_step"],
        schedule["end_step"],
        power=3,
        frequency=schedule["frequency"],
    )
    model = pruning.prune_low_magnitude(plain, pruning_schedule=decay)
    rate = tf_keras.optimizers.schedules.PolynomialDecay(training.recipe.rate, training.steps, 0.0)
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(rate, epsilon=EPSILON), loss)
    x, y = training.split.train
    callbacks = [pruning.UpdatePruningStep()]
    for order in training.orders():
        model.fit(
            x[order], y[order], training.recipe.batch, shuffle=False, verbose=0, callbacks=callbacks
        )
    stripped = pruning.strip_pruning(model)
    path = folder / f"{run.name}.h5"
    stripped.save_weights(path)

    return measured(keras_labels, stripped, training, path, {})


def _torch_prune(run: Run, training: Training, folder: Path) -> Outcome:
    import torch
    from torch.nn.utils import prune

    model = fresh_torch(training)
    kinds = torch.nn.Linear, torch.nn.Conv2d
    pruned = [module for module in model.modules() if isinstance(module, kinds)]
    due = dict(_targets(_schedule(run, training)))
    before = 0.0
    _, updates = torch_training(training, model)
    for step, _ in enumerate(updates, 1):
        if step in due:
            share = (due[step] - before) / (1 - before)  # of the weights that are still there
            for module in pruned:
                prune.l1_unstructured(module, "weight", share)
            before = due[step]
    for module in pruned:
        prune.remove(module, "weight")
    path = folder / f"{run.name}.npz"
    np.savez(path, **{name: value.numpy() for name, value in model.state_dict().items()})
    return measured(torch_labels, model, training, path, {})


def _schedule(run: Run, training: Training) -> Schedule:
    """Return the schedule that a run asks for, in steps."""
    found = dict(run.options["schedule"])
    for key in ("begin_step", "end_step"):
        found[key] = round(float(found[key].rstrip("%")) / 100 * training.steps)
    return found


def _targets(schedule: Schedule) -> Iterator[tuple[int, float]]:
    """Yield the steps at which masks change, and the sparsity from then on."""
    begin, end, final = (schedule[key] for key in ("begin_step", "end_step", "final_sparsity"))
    for step in sorted({*range(begin, end, schedule["frequency"]), end}):
        yield step, final * (1 - (1 - (step - begin) / (end - begin)) ** 3)


PEERS: dict[str, Callable[[Run, Training, Path], Outcome]] = {
    "tfmot": _tfmot,
    "torch.nn.utils.prune": _torch_prune,
}

if __name__ == "__main__":
    main()
