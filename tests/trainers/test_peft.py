"""A model with an adapter of PEFT: the factors stay dense, and a merge is noticed."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

import secateur

pytestmark = pytest.mark.filterwarnings("default")
HALF = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}


@pytest.fixture
def tuned():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(16, 8), nn.Linear(8, 16), nn.Linear(16, 4))
    config = LoraConfig(r=2, target_modules=["0", "1"], init_lora_weights=False)
    return get_peft_model(model, config)


def test_factors_are_left_dense_with_the_reason(tuned):
    plan = secateur.plan(tuned, HALF)
    assert [weight.spec.name for weight in plan.weights] == [
        "base_model.model.0.base_layer:embedding",
        "base_model.model.1.base_layer:kernel",
        "base_model.model.2:kernel",
    ]
    reasons = {skipped.name: skipped.reason for skipped in plan.skipped}
    assert "adapter" in reasons["base_model.model.1.lora_A.default:kernel"]
    factors = [value for name, value in tuned.named_parameters() if "lora_" in name]
    before = [factor.clone() for factor in factors]
    secateur.prune(tuned, HALF)
    assert all(map(torch.equal, factors, before))


def test_a_merge_under_a_pruner_is_told(tuned):
    pruner = secateur.attach(tuned, HALF)
    merged = tuned.merge_and_unload()
    assert int((merged[1].weight == 0).sum()) == 0
    assert any("not zero" in note for note in pruner.report().notes)
    pruner.detach()
    assert int((merged[2].weight == 0).sum()) == 32
