"""Masks made in one framework go onto the twin in the other, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")  # before Keras may load TensorFlow
import secateur  # noqa: E402
from tests.parity.twins import TWINS, fill_keras, fill_torch, keras_twin, torch_twin  # noqa: E402

POLICY = {"schedule": {"kind": "one_shot", "final_sparsity": 0.7}, "distribution": "global"}


def pair(name: str) -> tuple[Any, Any]:
    """Return a Keras and a PyTorch twin with equal weights."""
    twin = TWINS[name]
    keras_model, torch_model = keras_twin(twin), torch_twin(twin)
    weights = twin.weights(seed=5)
    fill_keras(keras_model, twin, weights)
    fill_torch(torch_model, twin, weights)
    return keras_model, torch_model


@pytest.mark.parametrize("name", ["gru", "depthwise2d", "transformer", "lstm-tagger"])
def test_a_keras_models_masks_make_its_torch_twin_the_same_function(name: str) -> None:
    keras_model, torch_model = pair(name)
    report = secateur.prune(keras_model, POLICY)
    moved = secateur.transfer(report, torch_model)
    assert {n: m.tolist() for n, m in moved.items()} == {
        n: m.tolist() for n, m in report.masks.items()
    }
    x = TWINS[name].inputs(seed=6)
    np.testing.assert_allclose(
        np.asarray(keras_model(x)), torch_model(torch.tensor(x)).detach().numpy(), atol=2e-5
    )


def test_a_saved_state_of_a_torch_run_goes_onto_the_keras_twin(tmp_path: Path) -> None:
    keras_model, torch_model = pair("mnist-cnn")
    pruner = secateur.attach(torch_model, POLICY)
    pruner.save(tmp_path / "state.npz")
    secateur.transfer(tmp_path / "state.npz", keras_model)
    kernel = np.asarray(keras_model.get_layer("dense1").kernel).T
    assert np.array_equal(kernel != 0, pruner.masks["dense1:kernel"])


def test_a_run_begun_in_keras_goes_on_in_torch(tmp_path: Path) -> None:
    keras_model, torch_model = pair("resnet")
    secateur.attach(keras_model, POLICY).save(tmp_path / "state.npz")
    resumed = secateur.attach(torch_model, POLICY)
    resumed.load(tmp_path / "state.npz")
    assert resumed.report().sparsity == pytest.approx(0.7, abs=0.001)


def test_layers_of_other_names_are_found_by_a_table_of_names() -> None:
    masks = {"first:kernel": np.eye(4, dtype=bool)}
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    moved = secateur.transfer(masks, model, names={"first": "0"})
    assert list(moved) == ["0:kernel"]
    assert np.array_equal(model[0].weight.detach().numpy() != 0, np.eye(4, dtype=bool))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((4, 5), bool), r"bool of shape \(4, 5\).* needs bool of shape \(4, 4\)"),
        (np.ones((4, 4)), "float64 of shape"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_and_nothing_changes(mask: Any, words: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    before = [parameter.clone() for parameter in model.parameters()]
    good = np.zeros((4, 4), bool)
    with pytest.raises(secateur.ModelError, match=words):
        secateur.transfer({"0:kernel": good, "1:kernel": mask}, model)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_a_mask_without_a_weight_is_refused_with_the_nearest_name() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    with pytest.raises(secateur.ModelError, match="did you mean '0:kernel'"):
        secateur.transfer({"O:kernel": np.ones((4, 4), bool)}, model)
