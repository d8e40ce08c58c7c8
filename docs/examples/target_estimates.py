"""What zeros save on Ethos-U and FPGA, by the estimates of Vela and da4ml.

Writes docs/results/targets.md; takes about three minutes:

    python docs/examples/target_estimates.py
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from page_tables import table, versions

import secateur

PAGE = Path(__file__).parents[1] / "results" / "targets.md"
TWO_OF_FOUR = {
    "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
    "pattern": {"kind": "n_m", "keep": 2, "of": 4},
}
SPARSITIES = (0.0, 0.2, 0.3, 0.5, 0.8, 0.9)
HEAD = """# What zeros save: estimates

Written by `docs/examples/target_estimates.py`.  The weights are random, pruned by magnitude in one
shot: cycles, bytes and LUTs hardly depend on what a network has learned.  They are the tools' own
estimates, not measurements of a device.
"""
ETHOS = """## Arm Ethos-U, by Vela

int8.  The dense network waits for its weights, so zeros save cycles until computing takes as long.
The convolutional one (three 3x3 convolutions of 64 channels on 32x32 pixels) computes all the time,
so zeros save bytes only, and on the U85 2:4 saves cycles.  Single zeros are never skipped.
"""
FPGA = """## FPGA, by da4ml

One dense matrix, fully unrolled, weights rounded to 8 bits, inputs of 8 bits.
"""


def mlp() -> keras.Model:
    """Return a dense network for 28x28 images."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(n, "relu") for n in (512, 256)] + [keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((784,)), *layers])


def convolutional() -> keras.Model:
    """Return a convolutional network."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Conv2D(64, 3, padding="same", activation="relu") for _ in range(3)]
    pooled = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(10)]
    return keras.Sequential([keras.Input((32, 32, 16)), *layers, *pooled])


def int8(model: keras.Model) -> bytes:
    """Return a model as an int8 .tflite file, calibrated on noise."""
    random = np.random.default_rng(0)
    shape = (1, *model.input_shape[1:])
    samples = [random.normal(size=shape).astype("float32") for _ in range(8)]
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([sample] for sample in samples)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def policies() -> Iterator[tuple[str, dict | None]]:
    """Yield what is pruned: single weights at several sparsities, and 2:4."""
    for sparsity in SPARSITIES:
        schedule = {"kind": "one_shot", "final_sparsity": sparsity}
        yield (f"{sparsity:.0%} zeros" if sparsity else "dense"), {"schedule": schedule}
    yield "2:4", TWO_OF_FOUR


def ethos(folder: Path) -> Iterator[tuple[object, ...]]:
    """Yield the rows for Ethos-U."""
    for name, make in (("dense 784-512-256-10", mlp), ("convolutional", convolutional)):
        for words, policy in policies():
            model = make()
            secateur.prune(model, policy)
            path = folder / "model.tflite"
            path.write_bytes(int8(model))
            found = [secateur.estimate(target, path).figures for target in TARGETS]
            cycles = [figures["cycles"] for figures in found]
            yield name, words, *cycles, found[0]["bytes of compressed weights"]


TARGETS = ("ethos-u55", "ethos-u85")


def fpga() -> Iterator[tuple[object, ...]]:
    """Yield the rows for FPGA."""
    for sparsity in SPARSITIES:
        weights = {"fc": np.random.default_rng(0).normal(size=(32, 64)).astype("float32")}
        secateur.prune(weights, {"schedule": {"kind": "one_shot", "final_sparsity": sparsity}})
        kept = int(np.count_nonzero(weights["fc"]))
        yield f"{sparsity:.0%}", kept, secateur.estimate("fpga", weights).figures["LUTs"]


def page() -> str:
    """Return the page."""
    with TemporaryDirectory() as folder:
        rows = list(ethos(Path(folder)))
    head = ("network", "zeros", "cycles, U55-128", "cycles, U85-256", "bytes of weights, U55")
    luts = table(("zeros", "weights that stay", "LUTs"), fpga())
    tools = versions("ethos-u-vela", "da4ml", "tensorflow")
    return "\n".join([HEAD, ETHOS, table(head, rows, words=2), "", FPGA, luts, "", tools, ""])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
