"""MNIST: a small convolutional network, at 50 to 98 %, in single weights, blocks and 2:4."""

from __future__ import annotations

import samples

from tasks.images import images

CLASSIFIER = images(
    "mnist",
    "MNIST, a convolutional network",
    samples.digits,
    samples.few_digits,
    sparsities=(0.5, 0.8, 0.9, 0.95, 0.98),
    blocks=True,
    tries=True,
    learned="""Three epochs were tried first, and were too short for both: the samples for choosing
asked for six. No pruned row was trained longer than the dense one.""",
)
TASK = CLASSIFIER.task()
