"""Checkpoints carry the pruning state; a run that was killed ends like one that was not."""

import signal
from pathlib import Path

import keras
import numpy as np
import pytest

import secateur
from secateur.errors import StateError
from tests.fork_server import ForkServer

CHILD = Path(__file__).with_name("resume_child.py")
OFTEN = (1, 3, 4, 5, 8, 10, 14, 17, 21, 24)
BATCHES = [
    batch if batch in OFTEN else pytest.param(batch, marks=pytest.mark.thorough)
    for batch in range(1, 25)
]
POLICY = {
    "schedule": {
        "kind": "linear",
        "initial_sparsity": 0.1,
        "final_sparsity": 0.9,
        "begin_step": 1,
        "end_step": 20,
        "frequency": 3,
    }
}
OTHER = {"schedule": POLICY["schedule"] | {"final_sparsity": 0.8}}


@pytest.fixture(scope="module")
def run_child():
    """Run the child in a fork of a process that has imported Keras already."""
    server = ForkServer(("secateur_keras.binding",), {})
    yield lambda folder, die_before=0: server.run(
        CHILD, folder / "backup", folder / "out.npz", die_before
    )
    server.close()


@pytest.fixture(scope="module")
def uninterrupted(run_child, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    done = run_child(folder)
    assert done.returncode == 0, done.output
    return dict(np.load(folder / "out.npz"))


@pytest.mark.slow
@pytest.mark.xdist_group("keras resume")
@pytest.mark.parametrize("batch", BATCHES)
def test_a_run_killed_before_any_batch_ends_like_one_that_was_not(
    batch, run_child, uninterrupted, tmp_path
):
    assert run_child(tmp_path, die_before=batch).returncode == -signal.SIGKILL
    resumed = run_child(tmp_path)
    assert resumed.returncode == 0, resumed.output
    found = dict(np.load(tmp_path / "out.npz"))
    assert found.keys() == uninterrupted.keys()
    assert uninterrupted["step"] == 24
    for key, value in uninterrupted.items():
        assert found[key].tobytes() == value.tobytes(), key


class Interrupt(keras.callbacks.Callback):
    """Raises before a batch, as Control-C does."""

    def __init__(self, before):
        super().__init__()
        self.left = before

    def on_train_batch_begin(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.fixture
def start(network, compile_):
    """Return a network, the same each time, and its pruner."""

    def make(policy=POLICY):
        keras.utils.set_random_seed(4)
        model = network()
        compile_(model)
        return model, secateur.attach(model, policy)

    return make


@pytest.fixture
def train(data):
    def run(model, *callbacks, epochs=4, batches=6):
        options = {"batch_size": 4, "shuffle": False, "verbose": 0}
        x, y = (part[: 4 * batches] for part in data(64))
        model.fit(x, y, epochs=epochs, callbacks=list(callbacks), **options)

    return run


def same(one, other):
    assert all(map(np.array_equal, one[0].get_weights(), other[0].get_weights()))
    assert one[1].current_step == other[1].current_step
    assert one[1].masks.keys() == other[1].masks.keys()
    assert all(np.array_equal(mask, other[1].masks[name]) for name, mask in one[1].masks.items())


@pytest.mark.parametrize("backup_first", [False, True])
def test_backup_and_restore_takes_the_pruner_along(backup_first, start, train, tmp_path):
    whole = start()
    train(whole[0], whole[1].callback())
    broken = start()

    def callbacks(pruner):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return (backup, pruner.callback()) if backup_first else (pruner.callback(), backup)

    with pytest.raises(KeyboardInterrupt):
        train(broken[0], *callbacks(broken[1]), Interrupt(before=15))
    resumed = start()
    train(resumed[0], *callbacks(resumed[1]))
    same(whole, resumed)
    assert whole[1].current_step == 24


@pytest.mark.parametrize("checkpoint_first", [False, True])
def test_checkpoint_of_any_batch_holds_the_state_of_that_batch(
    checkpoint_first, start, train, tmp_path
):
    path = str(tmp_path / "{batch}.weights.h5")
    model, pruner = start()
    save = keras.callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=1)
    order = [save, pruner.callback()] if checkpoint_first else [pruner.callback(), save]
    train(model, *order, epochs=1, batches=8)
    for batch in range(1, 9):
        loaded = start()
        loaded[0].optimizer.build(loaded[0].trainable_variables)
        loaded[0].load_weights(path.format(batch=batch))
        assert loaded[1].current_step == batch
        alone = start()
        train(alone[0], alone[1].callback(), epochs=1, batches=batch)
        same(alone, loaded)


def test_keras_file_and_pruner_file_together_resume(start, train, tmp_path):
    whole = start()
    train(whole[0], whole[1].callback(), epochs=2)
    first = start()
    train(first[0], first[1].callback(), epochs=1)
    first[0].save(tmp_path / "model.keras")
    first[1].save(tmp_path / "pruner.npz")
    model = keras.models.load_model(tmp_path / "model.keras")
    pruner = secateur.attach(model, POLICY)
    pruner.load(tmp_path / "pruner.npz")
    train(model, pruner.callback(), epochs=1)
    same(whole, (model, pruner))


def test_state_of_another_policy_is_refused(start, train, tmp_path):
    model, pruner = start()
    train(model, pruner.callback(), epochs=1)
    pruner.save(tmp_path / "pruner.npz")
    _, other = start(OTHER)
    with pytest.raises(StateError, match="attach with the policy of that run"):
        other.load(tmp_path / "pruner.npz")
    assert other.current_step == 0


def test_names_that_keras_made_up_are_told_when_they_differ(tmp_path):
    first, second = (
        secateur.attach(keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), POLICY)
        for _ in range(2)
    )
    first.step(6)
    first.save(tmp_path / "pruner.npz")
    with pytest.raises(StateError, match="give the layers names of their own"):
        second.load(tmp_path / "pruner.npz")
    assert second.current_step == 0


def test_dense_weights_loaded_under_pruning_are_masked_before_the_next_batch(
    start, train, network, compile_, held, tmp_path
):
    dense = network()
    compile_(dense)
    train(dense, epochs=1)
    dense.save_weights(tmp_path / "dense.weights.h5")
    model, pruner = start()
    train(model, pruner.callback(), epochs=1)
    model.load_weights(tmp_path / "dense.weights.h5")
    assert pruner.current_step == 6

    class Check(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            held(pruner)

    train(model, pruner.callback(), Check(), epochs=1)
