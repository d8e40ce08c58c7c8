"""The translation network of the results is the same in both frameworks, and so are its masks."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

import secateur

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
GERMAN = np.array([[3, 4, 5, 6], [7, 8, 0, 0]])  # 0 is beyond the end
ENGLISH = np.array([[2, 9, 8], [2, 5, 0]])


@pytest.mark.slow
def test_the_networks_compute_the_same_and_get_equal_masks(monkeypatch):
    torch = pytest.importorskip("torch")
    pytest.importorskip("keras")
    monkeypatch.setattr(sys, "path", [str(EXAMPLES), *sys.path])
    from translation import equal_weights, keras_network, torch_network
    from translation.shape import RULES, Shape

    shape = Shape(words=50, units=16, layers=3)
    ours, theirs = torch_network.Translator(shape), keras_network.Translator(shape)
    theirs((GERMAN, ENGLISH))
    equal_weights.fill_torch(ours)
    equal_weights.fill_keras(theirs)
    with torch.no_grad():
        wanted = ours(torch.from_numpy(GERMAN), torch.from_numpy(ENGLISH)).numpy()
    np.testing.assert_allclose(np.asarray(theirs((GERMAN, ENGLISH))), wanted, rtol=1e-4, atol=1e-6)

    rules = [RULES[0], {**RULES[1], "distribution": "global"}]
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.8}, "rules": rules}
    in_keras, in_torch = (secateur.prune(model, policy).masks for model in (theirs, ours))
    assert in_keras.keys() == in_torch.keys()
    assert all(np.array_equal(in_keras[name], in_torch[name]) for name in in_keras)
