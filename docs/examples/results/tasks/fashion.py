"""Fashion-MNIST: the network of MNIST, at 80 and 90 %."""

from __future__ import annotations

import samples

from tasks.images import images

CLASSIFIER = images(
    "fashion",
    "Fashion-MNIST, a convolutional network",
    samples.fashion,
    samples.fashion,
    sparsities=(0.8, 0.9),
    blocks=False,
    tries=False,
)
TASK = CLASSIFIER.task()
