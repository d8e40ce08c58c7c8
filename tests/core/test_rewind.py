"""Lottery tickets: the weights of an earlier step under the present masks."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import secateur

SCHEDULE = {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 1}


@pytest.fixture
def run():
    rng = np.random.default_rng(0)
    weights = {
        "fc": rng.normal(size=(4, 6)).astype(np.float32),
        "conv": rng.normal(size=(3, 2, 2, 2)),
        "bias": np.arange(4.0),
    }
    early = {name: array.copy() for name, array in weights.items()}
    pruner = secateur.attach(weights, {"schedule": SCHEDULE})
    for array in weights.values():
        array += rng.normal(size=array.shape).astype(array.dtype)
    pruner.step()
    return weights, early, pruner


def check(weights, early, pruner):
    for name, mask in pruner.masks.items():
        wanted = np.where(mask, early[name], 0).astype(early[name].dtype)
        bits = f"u{wanted.itemsize}"
        np.testing.assert_array_equal(weights[name].view(bits), wanted.view(bits))


@pytest.mark.parametrize("suffix", ["", ".npz", ".safetensors"])
def test_a_mapping_or_a_file_of_it_is_put_under_the_masks(run, suffix, tmp_path):
    weights, early, pruner = run
    bias, masks = weights["bias"].copy(), dict(pruner.masks)
    source = early
    if suffix:
        source = tmp_path / f"early{suffix}"
        if suffix == ".npz":
            np.savez(source, **early)
        else:
            from safetensors.numpy import save_file

            save_file(early, source)
    pruner.rewind(source)
    check(weights, early, pruner)
    np.testing.assert_array_equal(weights["bias"], early["bias"])
    assert pruner.current_step == 1
    for name, mask in masks.items():
        np.testing.assert_array_equal(pruner.masks[name], mask)
    del early["bias"]
    weights["bias"][...] = bias
    pruner.rewind(early)
    np.testing.assert_array_equal(weights["bias"], bias)
    assert not pruner.report().notes


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"fc": None}, secateur.ModelError, "nothing for fc"),
        ({"fcc": np.ones((4, 6))}, secateur.ModelError, "did you mean 'fc'"),
        ({"fc": np.ones((6, 4), np.float32)}, secateur.ModelError, r"canonical shape is \(4, 6\)"),
        ({"fc": np.ones((4, 6))}, secateur.ModelError, "float64, and float32 in the model"),
        ({"bias": np.ones(5)}, secateur.ModelError, r"'bias' has shape \(5,\)"),
        ({"conv": np.full((3, 2, 2, 2), np.nan)}, secateur.WeightError, "'conv' at"),
        ({"conv": "abc"}, secateur.ModelError, "shape"),
        ({"conv": [[1.0], [1.0, 2.0]]}, secateur.ModelError, "cannot be read as an array"),
        ({3: np.ones(1)}, secateur.ModelError, "names are strings"),
        ({"fc:kernel": np.ones((4, 6), np.float32)}, secateur.ModelError, "more than one"),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_is_changed(run, change, error, message):
    weights, early, pruner = run
    before = {name: array.copy() for name, array in weights.items()}
    source = {name: array for name, array in {**early, **change}.items() if array is not None}
    with pytest.raises(error, match=message):
        pruner.rewind(source)
    for name, array in before.items():
        np.testing.assert_array_equal(weights[name], array)


def test_a_copy_of_a_model_with_kinds_is_put_back():
    model = {"fc": (np.arange(1.0, 5.0).reshape(2, 2), "dense")}
    early = copy.deepcopy(model)
    steady = {"kind": "constant", "final_sparsity": 0.5}
    pruner = secateur.attach(model, {"schedule": steady})
    model["fc"][0][...] *= -1
    pruner.rewind(early)
    assert model["fc"][0].tolist() == [[0, 0], [3, 4]]
    nested = secateur.attach({"net.fc": np.ones((2, 2))}, {"schedule": steady})
    nested.rewind({"net": {"fc": early["fc"][0]}})
    assert nested.masks["net.fc"].tolist() == [[True, True], [False, False]]


def test_what_holds_no_names_is_refused(run, tmp_path):
    _, early, pruner = run
    for source in (list(early.values()), 3, tmp_path / "missing.npz"):
        with pytest.raises(secateur.ModelError):
            pruner.rewind(source)
    pruner.detach()
    with pytest.raises(secateur.StateError, match="detached"):
        pruner.rewind(early)
