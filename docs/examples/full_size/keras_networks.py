"""InceptionV3 with its auxiliary head, and MobileNetV1, in Keras."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers


def inception() -> Any:
    """Return InceptionV3; keras.applications leaves out the auxiliary head, so we add it."""
    keras.backend.clear_session()  # layers are numbered from the start
    body = keras.applications.InceptionV3(weights=None, classifier_activation=None)
    x = layers.AveragePooling2D(5, 3)(body.get_layer("mixed7").output)
    for filters, size in ((128, 1), (768, 5)):
        x = layers.Conv2D(filters, size, use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(scale=False)(x))
    x = layers.Dense(1000, name="auxiliary_output")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(body.input, [body.output, x])


def mobilenet() -> Any:
    """Return MobileNetV1 of full width."""
    keras.backend.clear_session()
    return keras.applications.MobileNet(weights=None, classifier_activation=None)
