"""What the toolkit itself answers, written to a file.  Argument: the .npz file."""

from __future__ import annotations

import os
import sys

os.environ |= {"TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras
from cases import SCHEDULES, STEPS, cases, networks
from tensorflow_model_optimization.python.core.sparsity.keras.pruning_impl import Pruning

toolkit = tfmot.sparsity.keras


def schedule_values():
    for number, (name, arguments) in enumerate(SCHEDULES):
        cls = getattr(toolkit, name)
        schedule = cls(**arguments) if isinstance(arguments, dict) else cls(*arguments)
        steps = [schedule(tf.constant(step, tf.int64)) for step in range(STEPS)]
        yield f"due {number}", np.array([bool(due) for due, _ in steps])
        yield f"sparsity {number}", np.array([float(value) for _, value in steps])


def masks():
    for name, _, kernels, settings in cases():
        options = {"block_size": (1, 1), "block_pooling_type": "AVG", **settings}
        schedule = toolkit.ConstantSparsity(options.pop("sparsity"), 0)
        for number, kernel in enumerate(kernels):
            pruning = Pruning(lambda: 1, [(tf.Variable(kernel), None, None)], schedule, **options)
            _, mask = pruning._maybe_update_block_mask(tf.Variable(kernel))
            yield f"mask {name} {number}", np.asarray(mask) != 0


def sparse_on_xnnpack():
    policy = toolkit.PruneForLatencyOnXNNPack()
    for name, model in networks(keras).items():
        try:
            policy.ensure_model_supports_pruning(model)
        except ValueError:
            yield f"xnnpack {name}", np.array(False)
        else:
            yield f"xnnpack {name}", np.array(True)


if __name__ == "__main__":
    answers = {**dict(schedule_values()), **dict(masks()), **dict(sparse_on_xnnpack())}
    np.savez(sys.argv[1], **answers)
