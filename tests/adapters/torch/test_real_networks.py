"""Networks that people really use: nothing is forgotten, and counts are exact."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

import secateur
from secateur.arrays.counts import keep_count
from secateur_torch.binding import bind

NETWORKS = runpy.run_path(str(Path(__file__).with_name("real_networks.py")))["NETWORKS"]
pytestmark = pytest.mark.slow


@pytest.fixture(params=NETWORKS)
def network(request):
    make, parameters, weights = NETWORKS[request.param]
    torch.manual_seed(0)
    model = make().eval()
    assert sum(p.numel() for p in model.parameters()) == parameters
    return model, weights


def test_every_matrix_and_filter_is_planned_and_the_rest_is_listed(network):
    model, weights = network
    binding = bind(model)
    assert len(binding.weights) == weights
    planned = sum(weight.spec.size for weight in binding.weights)
    tokens = {"token", "position"}  # parameters of the model itself, which is listed
    matrices = {
        name: p.numel() for name, p in model.named_parameters() if p.ndim > 1 and name not in tokens
    }
    assert planned == sum(matrices.values())
    norms = [m for m in model.modules() if "Norm" in type(m).__name__]
    listed = [skipped for skipped in binding.skipped if "never pruned" in skipped.reason]
    assert len(listed) == len(norms)


@pytest.mark.parametrize("pattern", [{"kind": "unstructured"}, {"kind": "n_m", "keep": 2, "of": 4}])
def test_one_shot_pruning_has_exact_counts_and_the_network_still_runs(pattern, network):
    model, _ = network
    policy = {
        "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
        "rules": [
            {"match": {"kind": "depthwise"}, "prune": False, "required": False},
            {"match": {}, "pattern": pattern},
        ],
    }
    report = secateur.prune(model, policy)
    for weight in bind(model).weights:
        spec, value = weight.spec, weight.read()
        kept = spec.size
        if spec.kind != "depthwise" and pattern["kind"] == "unstructured":
            kept = keep_count(spec.size, 0.5)
        elif spec.kind != "depthwise":
            sets, tail = divmod(spec.shape[1], 4)
            kept = spec.size // spec.shape[1] * (2 * sets + min(2, tail))
        assert int((value != 0).sum()) == kept, spec.name
    assert report.size == sum(weight.spec.size for weight in bind(model).weights)
    with torch.no_grad():
        assert model(torch.randn(1, 3, 224, 224)).isfinite().all()
