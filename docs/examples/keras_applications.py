"""Plan and prune every family of keras.applications: what is pruned, and what is left dense.

    python docs/examples/keras_applications.py [NAME ...] [--all] [--sparsity 0.8]

Random weights, so nothing is downloaded: what counts here are the numbers.  For each network
it checks that pruning at sparsity 0 changes no output bit, that every kernel of rank 2 or
more is either pruned or listed with a reason, and that the counts are exact.
"""

from __future__ import annotations

import argparse
import os
from fractions import Fraction

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import secateur

FAMILIES = [
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "ResNet50V2",
    "EfficientNetV2B0",
    "DenseNet121",
    "ConvNeXtTiny",
    "Xception",
    "NASNetMobile",
]
OTHERS = ["VGG16", "ResNet50", "InceptionResNetV2", "EfficientNetB0", "MobileNetV3Large"]


def check(name: str, sparsity: float) -> dict[str, object]:
    """Prune one network at once; return a row of the table."""
    keras.backend.clear_session()
    model = getattr(keras.applications, name)(weights=None)
    shape = [size or 224 for size in model.input_shape[1:]]
    images = np.random.default_rng(0).random((1, *shape), np.float32)
    before = model.predict(images, verbose=0)
    untouched = secateur.prune(model, {"schedule": one_shot(0.0)})
    assert untouched.kept == untouched.size
    assert np.array_equal(model.predict(images, verbose=0), before), "sparsity 0 changed it"

    plan = secateur.plan(model, {"schedule": one_shot(sparsity)})
    report = secateur.prune(model, {"schedule": one_shot(sparsity)})
    density = 1 - Fraction(repr(sparsity))
    for weight in report.weights:
        assert weight.kept == round(weight.size * density), weight.name
    assert missing(model, plan) == [], f"forgotten: {missing(model, plan)}"
    reasons = sorted({skipped.reason.split(";")[0] for skipped in plan.skipped})
    return {
        "network": name,
        "parameters": model.count_params(),
        "weights": len(report.weights),
        "prunable": report.size,
        "pruned": report.size - report.kept,
        "left dense": len(plan.skipped),
        "reasons": ", ".join(reasons),
    }


def one_shot(sparsity: float) -> dict[str, object]:
    """Return a schedule that prunes at once."""
    return {"kind": "one_shot", "final_sparsity": sparsity}


def missing(model: keras.Model, plan: secateur.Plan) -> list[str]:
    """Return the variables of rank 2 or more that the plan neither prunes nor lists."""
    listed = sum(weight.spec.size for weight in plan.weights)
    dense = {skipped.name.rpartition(".")[2] for skipped in plan.skipped}
    kernels = [v for v in model.variables if v.ndim > 1]
    left = [v for v in kernels if not set(v.path.split("/")) & dense]
    counted = sum(int(np.prod(v.shape)) for v in left)
    return [] if counted == listed else [v.path for v in left]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Plan and prune every family of Keras networks.")
    parser.add_argument("names", nargs="*", default=FAMILIES)
    parser.add_argument("--all", action="store_true", help="the others as well")
    parser.add_argument("--sparsity", type=float, default=0.8)
    options = parser.parse_args()
    names = options.names + (OTHERS if options.all else [])
    head = ("network", "parameters", "weights", "prunable", "pruned", "left dense", "reasons")
    print(f"| {' | '.join(head)} |\n|{' --- |' * len(head)}")
    for name in names:
        row = check(name, options.sparsity)
        cells = (f"{v:,}" if isinstance(v, int) else str(v) for v in row.values())
        print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
