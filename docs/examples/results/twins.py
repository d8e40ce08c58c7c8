"""One trained network in both frameworks, pruned in one shot: do their masks agree?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from counting import arrays
from networks import fill_keras, fill_torch
from policies import DENSE
from records import Outcome, Run
from training import (
    SUFFIXES,
    Training,
    classify,
    fresh_keras,
    fresh_torch,
    labels_of,
    save_keras,
    save_torch,
)


def prune_twins(run: Run, training: Training, folder: Path) -> Outcome:
    """Prune a dense network, trained in PyTorch, in both frameworks, and compare what was saved.

    The masks are where the saved weights are not zero; they are read without secateur.
    """
    import secateur  # not in the environment of the peers

    dense = replace(run, row=DENSE, framework="torch", policy=None)
    trained = folder / f"{dense.name}{SUFFIXES['torch']}"
    if not trained.exists():
        classify(dense, training, folder)
    weights = canonical_torch(arrays(trained), training)
    made = fresh_keras(training), fresh_torch(training)
    fill_keras(made[0], weights)
    fill_torch(made[1], weights)
    values, files = {}, {}
    for framework, model in zip(("keras", "torch"), made, strict=True):
        secateur.prune(model, run.policy)
        x, y = training.split.test
        values[framework] = 100 * float((labels_of(framework)(model, x) == y).mean())
        files[framework] = folder / f"{run.name}-{framework}{SUFFIXES[framework]}"
        (save_keras if framework == "keras" else save_torch)(model, files[framework])
    ours = canonical_keras(arrays(files["keras"]), training)
    theirs = canonical_torch(arrays(files["torch"]), training)
    kernels = [name for name in ours if not name.endswith(":bias")]
    differing = sum(int(((ours[n] != 0) != (theirs[n] != 0)).sum()) for n in kernels)
    more = {
        "in Keras": values["keras"],
        "mask bits": sum(ours[name].size for name in kernels),
        "mask bits that differ": differing,
    }
    return Outcome("accuracy, %", values["torch"], files["torch"], more)


def canonical_torch(found: dict[str, Any], training: Training) -> dict[str, Any]:
    """Return the weights of a .safetensors file by canonical name and layout."""
    words = {"kernel": "weight_ih_l0", "recurrent": "weight_hh_l0", "bias": "bias_ih_l0"}
    weights = {}
    for name, shape in training.network.shapes(*training.sizes).items():
        layer, role = name.split(":")
        plain = f"{layer}.{'weight' if role == 'kernel' else role}"
        weights[name] = found[plain if plain in found else f"{layer}.{words[role]}"].reshape(shape)
    return weights


def canonical_keras(found: dict[str, Any], training: Training) -> dict[str, Any]:
    """Return the weights of a .keras file by canonical name and layout."""
    words = {"conv": "conv2d", "dense": "dense", "lstm": "lstm"}
    weights = {}
    for name, shape in training.network.shapes(*training.sizes).items():
        layer, role = name.split(":")
        kind, number = layer.rstrip("0123456789"), int(layer[-1]) if layer[-1].isdigit() else 1
        # a file numbers its layers by class, from the second one on
        group = f"layers/{words[kind]}{f'_{number - 1}' if number > 1 else ''}"
        group, roles = f"{group}/vars", ("kernel", "bias")
        if kind == "lstm":
            group, roles = group.replace("/vars", "/cell/vars"), ("kernel", "recurrent", "bias")
        value = found[f"{group}/{roles.index(role)}"]
        value = value.transpose(3, 2, 0, 1) if value.ndim == 4 else value.T
        weights[name] = np.ascontiguousarray(value).reshape(shape)
    return weights
