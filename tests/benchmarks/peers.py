"""The peers' way to a magnitude mask, timed on request; runs in an environment of their own.

    python peers.py ARRAY.npy SPARSITY THREADS

Reads names from stdin, one a line, and answers each with the seconds that it took, by
the clock and of processor time; the first line printed names the versions.
"""

from __future__ import annotations

import os
import sys
import time

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}

import numpy as np
import torch  # before tensorflow, which does not like to be first
from torch import nn
from torch.nn.utils import prune

import tensorflow as tf  # isort: skip
import tensorflow_model_optimization as tfmot  # isort: skip
from tensorflow_model_optimization.python.core.sparsity.keras import (  # isort: skip
    pruning_impl,
    pruning_schedule,
)


def main() -> None:
    """Answer requests until stdin ends."""
    path, sparsity, threads = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    array = np.load(path)
    layer = nn.Linear(1, 1, bias=False)
    weight = torch.from_numpy(array)
    layer.weight = nn.Parameter(weight)
    drop = round(sparsity * array.size)

    def l1_unstructured() -> None:
        prune.l1_unstructured(layer, "weight", drop)

    def kthvalue() -> None:
        magnitudes = weight.abs()
        torch.gt(magnitudes, torch.kthvalue(magnitudes.reshape(-1), drop).values)

    variables = [tf.Variable(array), tf.Variable(tf.ones(array.shape)), tf.Variable(0.0)]
    pruning = pruning_impl.Pruning(
        lambda: tf.constant(0),
        [tuple(variables)],
        pruning_schedule.ConstantSparsity(sparsity, 0, frequency=1),
        (1, 1),
        "AVG",
    )
    update = tf.function(pruning.conditional_mask_update)

    ways = {"tfmot": update, "l1_unstructured": l1_unstructured, "kthvalue": kthvalue}
    versions = f"torch {torch.__version__}, tensorflow {tf.__version__}, TFMOT {tfmot.__version__}"
    print(versions, flush=True)
    for line in sys.stdin:
        start, busy = time.perf_counter(), time.process_time()
        ways[line.strip()]()
        print(time.perf_counter() - start, time.process_time() - busy, flush=True)
        if hasattr(layer, "weight_orig"):
            prune.remove(layer, "weight")
            layer.weight = nn.Parameter(torch.from_numpy(array))


if __name__ == "__main__":
    main()
