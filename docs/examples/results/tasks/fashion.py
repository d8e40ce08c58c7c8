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
    learned="""The network and its training are those that were chosen on MNIST; nothing was tuned
here. Clothes ask more of this network than digits do: dense, it is wrong nine times as often, and
weights that it has to spare on MNIST are in use. At 90 % that costs more than half a point.""",
)
TASK = CLASSIFIER.task()
