"""secateur prune on .keras and .weights.h5: what is pruned, and that nothing else changes."""

from __future__ import annotations

import io
import shutil
import zipfile

import h5py
import keras
import numpy as np
import pytest

import secateur
from tests.command_line import run as run

POLICY = 'schedule = { kind = "one_shot", final_sparsity = 0.5 }\ndistribution = "global"\n'


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a folder with a trained network of most kinds, as .keras and as .weights.h5."""
    folder = tmp_path_factory.mktemp("trained")
    layers = keras.layers
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="stem")(inputs)
    x = layers.SeparableConv2D(6, 3, name="separable")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Reshape((-1, 6))(x)
    x = layers.MultiHeadAttention(2, 4, name="attention")(x, x)
    x = layers.Bidirectional(layers.LSTM(5), name="both")(x)
    x = layers.RepeatVector(2)(x)
    x = layers.GRU(4, name="gru")(x)
    model = keras.Model(inputs, layers.Dense(3, name="head")(x))
    model.compile("adam", "mse")
    variables = model.trainable_variables
    model.optimizer.build(variables)
    model.optimizer.apply([keras.ops.ones(variable.shape) for variable in variables])
    model.save(folder / "net.keras")
    model.save_weights(folder / "net.weights.h5")
    (folder / "policy.toml").write_text(POLICY)
    return folder


@pytest.fixture
def files(trained, tmp_path):
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    return tmp_path


def datasets(content) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(content, "r") as file:
        file.visititems(
            lambda name, held: found.update({name: held[()]} if hasattr(held, "dtype") else {})
        )
    return found


def members(path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("name", ["net.keras", "net.weights.h5"])
def test_a_pruned_file_has_the_masks_of_the_live_model_and_all_else_as_before(run, files, name):
    live = keras.saving.load_model(files / "net.keras")
    masks = secateur.prune(live, files / "policy.toml").masks
    outcome = run("prune", name, "policy.toml", "-o", f"pruned-{name}", "--masks", "masks.npz")
    assert outcome.code == 0, outcome.err
    verified = run("verify", f"pruned-{name}", "--policy", "policy.toml", "--masks", "masks.npz")
    assert verified.code == 0, verified.out
    with np.load("masks.npz") as saved:
        found = {key[5:]: saved[key] for key in saved.files if key.startswith("mask/")}
    assert {n: np.packbits(mask.ravel()).tobytes() for n, mask in masks.items()} == {
        n: mask.tobytes() for n, mask in found.items()
    }
    fingerprint = secateur.Policy.load("policy.toml").fingerprint
    (files / "other.toml").write_text(POLICY.replace("0.5", "0.4"))
    assert fingerprint[:12] in run("verify", f"pruned-{name}", "--policy", "other.toml").out
    if name.endswith(".keras"):
        assert zipfile.ZipFile(f"pruned-{name}").comment.decode().endswith(f" {fingerprint}")
        before, after = members(name), members(f"pruned-{name}")
        assert list(before) == list(after)
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {"model.weights.h5"}
        old, new = (datasets(io.BytesIO(each["model.weights.h5"])) for each in (before, after))
        again = keras.saving.load_model(f"pruned-{name}")
    else:
        with h5py.File(f"pruned-{name}") as file:
            assert file.attrs["secateur_policy"] == fingerprint
        old, new = datasets(name), datasets(f"pruned-{name}")
        again = keras.saving.load_model("net.keras")
        again.load_weights(f"pruned-{name}")
    assert any(key.startswith("optimizer") and np.any(old[key]) for key in old)
    differing = {key for key in old if old[key].tobytes() != new[key].tobytes()}
    assert len(differing) == sum(not np.asarray(mask).all() for mask in masks.values())
    for key in differing:
        assert np.array_equal(np.where(new[key] == 0, 0, old[key]), new[key])
    for mine, theirs in zip(again.weights, live.weights, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_twins_as_keras_file_and_as_weights_file_differ_in_no_bit(run, files):
    for name in ("net.keras", "net.weights.h5"):
        run("prune", name, "policy.toml", "--in-place")
    outcome = run("diff", "net.keras", "net.weights.h5")
    assert outcome.code == 0
    assert "0 mask bits differ" in outcome.out
    assert "no twin" not in outcome.out


def test_a_packed_file_has_the_weights_that_were_packed(run, files):
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(8, name="square")])
    model.save(files / "square.keras")  # whose shape does not tell its layout
    (files / "policy.toml").write_text(
        'schedule = { kind = "one_shot", final_sparsity = 0.5 }\n'
        'pattern = { kind = "n_m", keep = 2, of = 4 }\n'
        '[[rules]]\nmatch = { name = "square:kernel", kind = "dense" }'
    )
    for words in (
        ["prune", "square.keras", "policy.toml", "--in-place"],
        ["pack", "square.keras", "-o", "a.packed", "--allow-larger"],
        ["verify", "a.packed", "--policy", "policy.toml"],
        ["diff", "square.keras", "a.packed", "--exit-code"],
    ):
        outcome = run(*words)
        assert outcome.code == 0, (words, outcome.out, outcome.err)
    pack = ["pack", "net.weights.h5", "-o", "net.packed", "--allow-larger"]
    assert run(*pack).code == 0
    assert "0 mask bits differ" in run("diff", "net.weights.h5", "net.packed", "--exit-code").out


def test_a_layer_of_no_known_class_is_left_dense_until_kind_says_what_it_is(run, files):
    with h5py.File("odd.weights.h5", "w") as file:
        file["mine/vars/0"] = np.random.default_rng(0).normal(size=(6, 4)).astype("f")
        file["mine/vars"].attrs["name"] = "mine"
        file["layers/dense/vars/0"] = np.ones((4, 4), "f")
    plan = run("plan", "policy.toml", "odd.weights.h5", "--json").json
    assert [weight["name"] for weight in plan["weights"]] == ["model:kernel"]
    assert "whose class the file does not tell; see --kind" in plan["skipped"][0]["reason"]
    said = run("plan", "policy.toml", "odd.weights.h5", "--kind", "mine*=dense", "--json").json
    assert [weight["shape"] for weight in said["weights"]] == [[4, 4], [4, 6]]


def hostile(files, what):
    """Return a file of one kind of malice."""
    if what == "bomb":
        with zipfile.ZipFile("bad.keras", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("model.weights.h5", bytes(110 << 20))
        return "bad.keras"
    if what == "text":
        (files / "bad.keras").write_text("no archive")
        return "bad.keras"
    if what == "no hdf5":
        (files / "bad.weights.h5").write_text("no hdf5")
        return "bad.weights.h5"
    with h5py.File("bad.weights.h5", "w") as file:
        if what == "external":
            file.create_dataset(
                "layers/dense/vars/0", (2, 4), "f4", external=[("policy.toml", 0, 32)]
            )
        elif what == "claims":
            file.create_dataset("layers/dense/vars/0", (1 << 20, 1 << 20), "f4", chunks=True)
        elif what == "old":
            file.attrs["model_config"] = "{}"
        elif what == "link":
            file["layers/dense/vars/0"] = h5py.ExternalLink("net.weights.h5", "optimizer/vars/2")
    return "bad.weights.h5"


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("bomb", "that claim to hold 115,343,360"),
        ("text", "not a whole .keras file"),
        ("no hdf5", "not a whole HDF5 file"),
        ("external", "keeps its values in another file"),
        ("claims", "claims 4,398,046,511,104 bytes, and 0 are stored"),
        ("old", "a whole model in the old HDF5 format"),
        ("link", "no weight that can be pruned"),
    ],
)
def test_a_hostile_file_is_refused_in_one_line(run, files, what, why):
    name = hostile(files, what)
    for words in (["plan", "policy.toml", name], ["prune", name, "policy.toml", "--in-place"]):
        outcome = run(*words)
        assert outcome.code == 1
        assert why in outcome.err
        assert len(outcome.err.splitlines()) == 1
