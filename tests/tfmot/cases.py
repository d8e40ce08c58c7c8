"""What is compared; read by both processes, so without a framework."""

from __future__ import annotations

import numpy as np

SCHEDULES = [
    ("ConstantSparsity", {"target_sparsity": 0.5, "begin_step": 0}),
    (
        "ConstantSparsity",
        {"target_sparsity": 0.9, "begin_step": 7, "end_step": 57, "frequency": 10},
    ),
    ("PolynomialDecay", (0.0, 0.5, 20, 120, 3, 10)),
    ("PolynomialDecay", (0.5, 0.8, 0, 100, 1, 25)),
    ("PolynomialDecay", (0.25, 0.75, 5, 155, 2.5, 50)),
    ("PolynomialDecay", (0.9, 0.3, 0, 40, 3, 1)),
]
"""Schedules whose last step lies on their grid; elsewhere the toolkit misses it."""
STEPS = 170
LAYERS = {
    "Dense": ([12, 10],),
    "Conv1D": ([3, 5, 7],),
    "Conv2D": ([3, 3, 6, 8],),
    "Conv3D": ([2, 2, 3, 4, 5],),
    "Conv2DTranspose": ([3, 3, 4, 6],),
    "SeparableConv2D": ([1, 1, 6, 9],),
    "Embedding": ([30, 8],),
    "SimpleRNN": ([9, 6], [6, 6]),
    "LSTM": ([9, 24], [6, 24]),
    "GRU": ([9, 18], [6, 18]),
    "MultiHeadAttention": ([10, 2, 4], [10, 2, 4], [10, 2, 4], [2, 4, 10]),
}
"""The kernels that are pruned of a layer, as Keras holds them."""
SPARSITIES = (0.0, 0.11, 1 / 3, 0.5, 0.77, 0.91, 0.97)
BLOCKS = ((1, 2), (2, 1), (3, 2), (4, 4))
SETS = ((2, 4), (1, 3), (3, 8))


def cases():
    """Yield a name, a layer, its kernels and the settings of a call."""
    for number, (layer, shapes) in enumerate(LAYERS.items()):
        kernels = [
            np.random.default_rng([number, at]).normal(size=shape).astype("float32")
            for at, shape in enumerate(shapes)
        ]
        for sparsity in SPARSITIES:
            yield f"{layer} {sparsity:.2f}", layer, kernels, {"sparsity": sparsity}
        is_flat = all(len(shape) == 2 for shape in shapes)
        for block in BLOCKS if is_flat else ():
            if all(map(_is_well_defined, shapes, [block] * len(shapes))):
                for pooling in ("AVG", "MAX"):
                    settings = {"sparsity": 0.6, "block_size": block, "block_pooling_type": pooling}
                    yield f"{layer} {block} {pooling}", layer, kernels, settings
        if layer in ("Dense", "Conv2D", "SeparableConv2D", "SimpleRNN", "LSTM", "GRU"):
            for sets in SETS:
                yield f"{layer} {sets}", layer, kernels, {"sparsity": 0.5, "sparsity_m_by_n": sets}
    for size in (1, 2, 3, 5, 7):
        kernels = [np.random.default_rng(size).normal(size=(size, 1)).astype("float32")]
        yield f"Dense of {size}", "Dense", kernels, {"sparsity": 0.95}


def _is_well_defined(shape, block):
    """Return whether the toolkit neither crashes nor shifts its windows."""
    short = [-length % size for length, size in zip(shape, block, strict=True)]
    blocks = [-(-length // size) for length, size in zip(shape, block, strict=True)]
    return max(short) < 2 and min(blocks) > 1


def networks(keras):
    """Return models by name: which of them XNNPACK can run sparsely is asked of both."""
    layers = keras.layers

    def net(*, pad=1, last=None, middle=(), first=3):
        return keras.Sequential(
            [
                keras.Input((32, 32, first)),
                layers.ZeroPadding2D(padding=pad),
                layers.Conv2D(8, 3, strides=2, padding="valid"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, padding="same"),
                layers.Conv2D(16, 1),
                *middle,
                layers.ReLU(),
                layers.GlobalAveragePooling2D(keepdims=True) if last is None else last,
                layers.Flatten(),
                layers.Dense(10),
            ]
        )

    inputs = keras.Input((32, 32, 3))
    x = layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(1)(inputs))
    x = layers.Add()([layers.Conv2D(8, 1)(x), layers.Activation("relu")(x)])
    branches = keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    return {
        "plain": net(),
        "branches": branches,
        "flat pooling": net(last=layers.GlobalAveragePooling2D()),
        "no padding": net(pad=0),
        "uneven padding": net(pad=((0, 1), (0, 1))),
        "one channel": net(first=1),
        "no pooling": net(last=layers.MaxPooling2D()),
        "a wide convolution": net(middle=[layers.Conv2D(4, 3)]),
        "grouped": net(middle=[layers.Conv2D(4, 1, groups=2)]),
        "tanh": net(middle=[layers.Activation("tanh")]),
        "sigmoid": net(middle=[layers.Activation("sigmoid")]),
        "strided depthwise": net(middle=[layers.DepthwiseConv2D(3, strides=2, padding="same")]),
        "padded depthwise": net(
            middle=[layers.ZeroPadding2D(2), layers.DepthwiseConv2D(5, strides=2)]
        ),
        "upsampling": net(middle=[layers.UpSampling2D(interpolation="bilinear")]),
        "nearest": net(middle=[layers.UpSampling2D()]),
        "dropout": net(middle=[layers.Dropout(0.1), layers.LeakyReLU(), layers.ELU()]),
    }
