"""The data of the tasks, each split into samples to train on, to choose on, and to test on."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mnist
import numpy as np
from deployment import data

_CHOSEN, _FEW_CHOSEN = 5000, 400
"""How many samples of those to train on are kept for choosing hyperparameters."""
_FASHION = (mnist.CACHE / "fashion", Path("/usr/share/datasets/fashion-mnist"))
_MISSING = """the images of Fashion-MNIST are not here. Either, on Debian,
    apt-get install dataset-fashion-mnist
or, without root, take them out of the package:
    apt-get download dataset-fashion-mnist && dpkg-deb -x dataset-fashion-mnist_*.deb x
    mkdir -p {folder} && cp x/usr/share/datasets/fashion-mnist/* {folder}"""


@dataclass(frozen=True)
class Split:
    """Samples with labels: to train on, to choose hyperparameters on, and to test on."""

    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    test: tuple[Any, Any]


@cache
def digits() -> Split:
    """Return MNIST: 55,000 images to train on, 5,000 to choose on, 10,000 to test on."""
    return _split(data.images(), _CHOSEN)


@cache
def few_digits() -> Split:
    """Return the part of MNIST that comes by pip: 3,600 images, 400 to choose on, 1,000 to test."""
    found = mnist.load()
    some = data.Data(found.train_x, found.train_y, found.test_x, found.test_y)
    return _split(some, _FEW_CHOSEN)


@cache
def fashion() -> Split:
    """Return Fashion-MNIST, split as MNIST is.

    Raises:
        SystemExit: It is not here; it says how to get it.

    """
    folders = [folder for folder in _FASHION if folder.exists()]
    if not folders:
        raise SystemExit(_MISSING.format(folder=_FASHION[0]))
    parts = []
    for part in ("train", "t10k"):
        # the files begin with a header of 16 bytes (images) and 8 bytes (labels)
        images = _unzipped(folders[0] / f"{part}-images-idx3-ubyte.gz")[16:]
        parts.append(images.reshape(-1, 28, 28, 1).astype(np.float32) / 255)
        parts.append(_unzipped(folders[0] / f"{part}-labels-idx1-ubyte.gz")[8:].astype(np.int64))
    return _split(data.Data(*parts), _CHOSEN)


@cache
def spoken_digits() -> Split:
    """Return the spoken digits: 2,000 to train on, 400 to choose on, 600 to test on.

    Four frames are averaged into one, for runs that take a quarter of the time.
    """
    found = data.spoken_digits()
    shorter = [x.reshape(len(x), -1, 4, x.shape[-1]).mean(2) for x in (found.train_x, found.test_x)]
    return _split(replace(found, train_x=shorter[0], test_x=shorter[1]), _FEW_CHOSEN)


def part(split: Split, train: int, test: int) -> Split:
    """Return the first samples of a split, for quick runs."""
    return Split(
        (split.train[0][:train], split.train[1][:train]),
        (split.validation[0][:test], split.validation[1][:test]),
        (split.test[0][:test], split.test[1][:test]),
    )


def _split(found: data.Data, chosen: int) -> Split:
    x, y = found.train_x, found.train_y
    return Split(
        (x[:-chosen], y[:-chosen]), (x[-chosen:], y[-chosen:]), (found.test_x, found.test_y)
    )


def _unzipped(path: Path) -> Any:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
