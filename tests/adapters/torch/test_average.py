"""Averages of a model (EMA, SWA) stay masked when the pruner includes them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import secateur
from secateur.errors import ModelError


@pytest.mark.parametrize("average", [None, get_ema_multi_avg_fn(0.9)], ids=["swa", "ema"])
def test_an_included_average_stays_masked(
    average, small, batches, train, polynomial, assert_masked
):
    optimizer = torch.optim.Adam(small.parameters(), 0.05)
    averaged = AveragedModel(small, multi_avg_fn=average)
    pruner = secateur.attach(small, polynomial(0.9, 9, frequency=3), optimizer=optimizer)
    pruner.include(averaged)

    def after():
        averaged.update_parameters(small)
        assert_masked(averaged, pruner)

    train(small, optimizer, batches(12), after)
    assert not torch.equal(averaged.module.head.weight, small.head.weight)


def test_an_average_that_is_not_included_is_left_alone(small, batches, train, polynomial):
    optimizer = torch.optim.Adam(small.parameters())
    averaged = AveragedModel(small, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    secateur.attach(small, polynomial(0.9, 4), optimizer=optimizer)
    train(small, optimizer, batches(6), after=lambda: averaged.update_parameters(small))
    assert averaged.module.head.weight.count_nonzero() > small.head.weight.count_nonzero()


def test_including_applies_the_masks_in_force_at_once(small, polynomial, assert_masked):
    averaged = AveragedModel(small)
    pruner = secateur.attach(small, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    pruner.include(averaged)
    assert_masked(averaged, pruner)


def test_another_model_is_no_average(small, polynomial):
    pruner = secateur.attach(small, polynomial(0.9, 4))
    with pytest.raises(ModelError, match=r"no average of this model: conv:kernel .* missing there"):
        pruner.include(nn.Linear(2, 2))
