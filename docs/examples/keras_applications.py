"""Plan and prune every family of keras.applications: what is pruned, and what is left dense.

    pip install "secateur[keras]" tensorflow
    python docs/examples/keras_applications.py [NAME ...] [--sparsity 0.8] [--write PAGE]

Random weights, so nothing is downloaded: what counts here are the numbers.  They are checked
without asking secateur, on the variables of each network.  Pruning at sparsity 0 changes no
bit of a variable or of the output.  At the sparsity asked for, every variable of two or more
dimensions (a kernel) holds exactly its share of zeros, and no bit of another one changes.
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from fractions import Fraction
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from page_tables import show, table, versions

import secateur

FAMILIES = [
    "ConvNeXtTiny",
    "DenseNet121",
    "EfficientNetB0",
    "EfficientNetV2B0",
    "InceptionResNetV2",
    "InceptionV3",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Small",
    "MobileNetV3Large",
    "NASNetMobile",
    "ResNet50",
    "ResNet50V2",
    "VGG16",
    "VGG19",
    "Xception",
]
"""The smallest network of every family, and another MobileNetV3."""
HEAD = ("network", "parameters", "kernels", "prunable", "pruned", "vectors", "layers left dense")


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", nargs="*", default=FAMILIES)
    parser.add_argument("--sparsity", type=float, default=0.8)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    rows = [row(name, options.sparsity) for name in options.names]
    text = f"{table(HEAD, rows)}\n\n{versions('keras', 'tensorflow')}"
    show(text, __file__, options.write)


def row(name: str, sparsity: float) -> list[object]:
    """Prune one network at once, check it, and return its row."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None)
    check_zero_sparsity(model)
    before = model.get_weights()
    skipped = secateur.plan(model, one_shot(sparsity)).skipped
    report = secateur.prune(model, one_shot(sparsity))
    kernels, pruned = check_counts(before, model.get_weights(), sparsity)
    size, parameters = sum(kernels), model.count_params()
    assert sorted(kernels) == sorted(weight.size for weight in report.weights), name
    assert (size, pruned) == (report.size, report.size - report.kept), name
    vectors = parameters - size
    return [name, parameters, len(kernels), size, pruned, vectors, by_reason(skipped)]


def one_shot(sparsity: float) -> dict[str, object]:
    """Return a policy that prunes everything at once."""
    return {"schedule": {"kind": "one_shot", "final_sparsity": sparsity}}


def check_zero_sparsity(model: keras.Model) -> None:
    """See that pruning at sparsity 0 changes nothing."""
    shape = [size or 224 for size in model.input_shape[1:]]
    images = np.random.default_rng(0).random((1, *shape), np.float32)
    output, weights = np.asarray(model(images, training=False)), model.get_weights()
    secateur.prune(model, one_shot(0.0))
    assert np.array_equal(np.asarray(model(images, training=False)), output)
    assert all(
        a.tobytes() == b.tobytes() for a, b in zip(model.get_weights(), weights, strict=True)
    )


def check_counts(
    before: list[np.ndarray], after: list[np.ndarray], sparsity: float
) -> tuple[list[int], int]:
    """See that kernels hold their share of zeros, and that nothing else changed.

    Returns the sizes of the kernels, and how many zeros they hold together.
    """
    sizes, pruned = [], 0
    for old, new in zip(before, after, strict=True):
        if new.ndim < 2:
            assert new.tobytes() == old.tobytes()
            continue
        kept = round(new.size * (1 - Fraction(repr(sparsity))))
        assert np.count_nonzero(new) == kept
        assert np.array_equal(new[new != 0], old[new != 0])
        sizes.append(new.size)
        pruned += new.size - kept
    return sizes, pruned


def by_reason(skipped: tuple[secateur.Skipped, ...]) -> str:
    """Count the layers that are left dense by their reasons."""
    counts = Counter(layer.reason.split(";")[0] for layer in skipped)
    return ", ".join(f"{count} x {reason}" for reason, count in counts.most_common()) or "none"


if __name__ == "__main__":
    main()
