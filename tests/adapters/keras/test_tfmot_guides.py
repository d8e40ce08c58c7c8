"""What the toolkit's guides do, step by step, with the import alone changed."""

import zipfile

import keras
import numpy as np
import pytest
from keras import layers

import secateur_keras.tfmot as tfmot

pytestmark = pytest.mark.any_backend
toolkit = tfmot.sparsity.keras


def _zipped(path):
    archive = path.with_suffix(".zip")
    with zipfile.ZipFile(archive, "w", compression=zipfile.ZIP_DEFLATED) as file:
        file.write(path)
    return archive.stat().st_size


def _sparsity(layer):
    kernel = layer.get_weights()[0]
    return float((kernel == 0).mean())


def _train(model, data, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(*data, batch_size=16, verbose=0, **options)


def test_pruning_in_keras_a_trained_model_is_pruned_stripped_and_zips_small(data, tmp_path):
    images = data(128)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(12, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )
    _train(model, images)
    model.save(tmp_path / "baseline.keras", include_optimizer=False)
    end_step = np.ceil(128 / 16).astype(np.int32) * 2
    schedule = toolkit.PolynomialDecay(0.5, 0.8, begin_step=0, end_step=end_step)
    pruned = toolkit.prune_low_magnitude(model, pruning_schedule=schedule)
    logs = tmp_path / "logs"
    callbacks = [toolkit.UpdatePruningStep(), toolkit.PruningSummaries(log_dir=str(logs))]
    _train(pruned, images, epochs=2, callbacks=callbacks)
    assert list((logs / "metrics").glob("events.*"))
    exported = toolkit.strip_pruning(pruned)
    exported.save(tmp_path / "pruned.keras", include_optimizer=False)
    assert [_sparsity(layer) for layer in exported.layers[::3]] == pytest.approx(
        [0.8] * 2, abs=0.01
    )
    assert _zipped(tmp_path / "pruned.keras") < _zipped(tmp_path / "baseline.keras")
    x = images[0][:4]
    assert np.array_equal(pruned.predict(x, verbose=0), exported.predict(x, verbose=0))


def test_the_comprehensive_guide_checkpoints_in_h5_and_trains_in_a_loop(tmp_path):
    import tensorflow as tf

    inputs = np.random.default_rng(0).normal(size=(4, 20)).astype("float32")
    targets = np.eye(20, dtype="float32")[:4]
    base = keras.Sequential([keras.Input((20,)), layers.Dense(20), layers.Flatten()])
    pruned = toolkit.prune_low_magnitude(base, block_size=[1, 16])
    pruned.save(tmp_path / "marked.h5", include_optimizer=True)
    with toolkit.prune_scope():
        loaded = keras.models.load_model(tmp_path / "marked.h5")
    optimizer = keras.optimizers.Adam()
    loaded.optimizer = optimizer
    step_callback, log_callback = (
        toolkit.UpdatePruningStep(),
        toolkit.PruningSummaries(log_dir=str(tmp_path / "logs")),
    )
    step_callback.set_model(loaded)
    log_callback.set_model(loaded)
    step_callback.on_train_begin()
    for _ in range(2):
        log_callback.on_epoch_begin(epoch=-1)
        step_callback.on_train_batch_begin(batch=-1)
        with tf.GradientTape() as tape:
            logits = loaded(inputs, training=True)
            value = keras.losses.categorical_crossentropy(targets, logits, from_logits=True)
        gradients = tape.gradient(value, loaded.trainable_variables)
        optimizer.apply_gradients(zip(gradients, loaded.trainable_variables, strict=True))
        step_callback.on_epoch_end(batch=-1)
    kernel = toolkit.strip_pruning(loaded).get_weights()[0]
    blocks = np.stack([(kernel[:, :16] != 0).any(axis=1), (kernel[:, 16:] != 0).any(axis=1)])
    assert blocks.sum() == 20
    assert (kernel[:, :16] != 0).all(axis=1).sum() == blocks[0].sum()


def test_for_xnnpack_the_1x1_convolutions_alone_are_pruned():
    def network(pooling):
        return keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                layers.ZeroPadding2D(1),
                layers.Conv2D(8, 3, strides=2, padding="valid"),
                layers.BatchNormalization(),
                layers.ReLU(),
                layers.DepthwiseConv2D(3, padding="same"),
                layers.Conv2D(16, 1, name="pointwise"),
                layers.ReLU(),
                pooling,
                layers.Flatten(),
                layers.Dense(4),
            ]
        )

    settings = {
        "pruning_schedule": toolkit.PolynomialDecay(0.25, 0.75, 0, 8, frequency=2),
        "pruning_policy": toolkit.PruneForLatencyOnXNNPack(),
    }
    with pytest.raises(ValueError, match="GlobalAveragePooling2D"):
        toolkit.prune_low_magnitude(network(layers.MaxPooling2D()), **settings)
    pruned = toolkit.prune_low_magnitude(
        network(layers.GlobalAveragePooling2D(keepdims=True)), **settings
    )
    rng = np.random.default_rng(0)
    images = rng.normal(size=(160, 16, 16, 3)).astype("float32"), rng.integers(0, 4, 160)
    _train(pruned, images, callbacks=[toolkit.UpdatePruningStep()])
    exported = toolkit.strip_pruning(pruned)
    found = {layer.name: _sparsity(layer) for layer in exported.layers if layer.get_weights()}
    assert {name for name, share in found.items() if share} == {"pointwise"}
    assert found["pointwise"] == 0.75
