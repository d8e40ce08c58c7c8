"""Every difference from torch.nn.utils.prune that the page lists, run in both.

The page is docs/how-to/from-torch-prune.md; the expectations of the original fail once it is
fixed, and the page is to be corrected then.
"""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.utils.prune as theirs
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel

import secateur_torch.compat.prune as ours
from secateur.errors import WeightError


def fresh(inputs=4, outputs=2):
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs)


def halved(lib):
    return lib.l1_unstructured(fresh(), "weight", 0.5)


def equal_weights(lib):
    layer = nn.Linear(10, 1)
    nn.init.ones_(layer.weight)
    return lib.l1_unstructured(layer, "weight", 0.2).weight_mask[0].tolist()


def not_a_number(lib):
    layer = nn.Linear(4, 1)
    layer.weight.data[0, 1] = torch.nan
    return bool(lib.l1_unstructured(layer, "weight", 2).weight_mask[0, 1])


def pruned_not_a_number(lib):
    layer = nn.Linear(4, 1)
    layer.weight.data[0, 1] = torch.nan
    return bool(
        lib.custom_from_mask(layer, "weight", torch.tensor([[1, 0, 1, 1]])).weight.isnan().any()
    )


def signs_of_zeros(lib):
    layer = nn.Linear(4, 1)
    nn.init.constant_(layer.weight, -1)
    lib.remove(lib.l1_unstructured(layer, "weight", 3), "weight")
    return int(layer.weight.signbit().sum())


def half_precision_norms(lib):
    layer = nn.Linear(600, 2).half()
    layer.weight.data[:] = torch.tensor([[50000.0], [60000.0]]).half()  # both norms overflow
    return lib.ln_structured(layer, "weight", 1, n=2, dim=0).weight_mask[:, 0].tolist()


def channels_last(lib):
    layer = nn.Conv2d(4, 4, 3).to(memory_format=torch.channels_last)
    return int(lib.l1_unstructured(layer, "weight", 0.5).weight_mask.sum())


def generator_of_pairs(lib):
    layer = fresh()
    lib.global_unstructured(((layer, n) for n in ("weight", "bias")), lib.L1Unstructured, amount=5)
    return int(layer.weight_mask.sum() + layer.bias_mask.sum())


def scores_after_a_change(lib):
    layer = nn.Linear(2, 1)
    layer.weight.data = torch.tensor([[1.0, 2.0]])
    lib.identity(layer, "weight")
    layer.weight_orig.data = torch.tensor([[5.0, 2.0]])  # as an optimizer's update does
    return lib.l1_unstructured(layer, "weight", 1).weight_mask[0].tolist()


def names(lib):
    layer = halved(lib)
    return [name for name, _ in layer.named_parameters()], list(layer.state_dict())


def an_optimizers_state(lib):
    layer = fresh()
    optimizer = torch.optim.Adam(layer.parameters())
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    state = optimizer.state_dict()
    lib.identity(layer, "weight")
    other = torch.optim.Adam(layer.parameters())
    other.load_state_dict(state)
    layer(torch.ones(1, 4)).sum().backward()
    other.step()
    return "goes on"


def stored_values(lib):
    layer = fresh()
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, momentum=0.9)
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    lib.l1_unstructured(layer, "weight", 0.5)
    layer(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return int((layer.weight_orig == 0).sum())


def loading_plain_weights(lib):
    layer, plain = halved(lib), fresh().state_dict()
    layer.load_state_dict(plain)
    return int((layer.weight == 0).sum())


def tied_weights(lib):
    table, head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
    head.weight = table.weight
    lib.l1_unstructured(head, "weight", 0.5)
    return int((table.weight == 0).sum())


def attention_trained_twice(lib):
    layer, x = nn.MultiheadAttention(8, 2), torch.randn(2, 3, 8)
    lib.l1_unstructured(layer.out_proj, "weight", 0.5)
    for _ in range(2):
        layer(x, x, x)[0].sum().backward()
    return "trained"


def deep_copy(lib):
    return int((copy.deepcopy(halved(lib)).weight == 0).sum())


def average(lib):
    return type(AveragedModel(halved(lib)).module).__name__


def missing_bias(lib):
    layer = nn.Linear(4, 2, bias=False)
    with pytest.raises((TypeError, AttributeError)):
        lib.l1_unstructured(layer, "bias", 0.5)
    return hasattr(layer, "bias")


def after_a_refused_call(lib):
    layer = halved(lib)
    with pytest.raises(ValueError, match="amount=100"):
        lib.l1_unstructured(layer, "weight", 100)
    return lib.is_pruned(layer)


def a_buffer_of_ones_own(lib):
    layer = fresh()
    layer.register_buffer("weight_mask", torch.zeros(2, 4))
    lib.identity(layer, "weight")
    return int(layer.weight_mask.sum())


def soft_masks(lib):
    layer = fresh()
    lib.custom_from_mask(layer, "weight", torch.full((2, 4), 0.5))
    return float(layer.weight_mask.max())


def parametrized(lib):
    return lib.l1_unstructured(weight_norm(fresh()), "weight", 0.5)


def extra_bytes(lib):
    layer = fresh(1000, 1000)
    lib.global_unstructured([(layer, "weight")], lib.L1Unstructured, amount=0.5)
    (hook,) = layer._forward_pre_hooks.values()
    held = [*layer.parameters(), *layer.buffers(), layer.weight, hook.mask]
    sizes = {each.data_ptr(): each.numel() * each.element_size() for each in held}
    return round(sum(sizes.values()) / 4_000_000, 2)


DIFFERENCES = [
    (equal_weights, [1, 1, 1, 1, 1, 1, 1, 1, 0, 0], None),
    (not_a_number, WeightError, True),
    (pruned_not_a_number, False, True),
    (signs_of_zeros, 1, 4),
    (half_precision_norms, [0, 1], None),
    (channels_last, 72, RuntimeError),
    (generator_of_pairs, 5, ValueError),
    (scores_after_a_change, [1, 0], [0, 1]),
    (
        names,
        (["weight", "bias"], ["weight", "bias", "weight_mask"]),
        (["bias", "weight_orig"], ["bias", "weight_orig", "weight_mask"]),
    ),
    (an_optimizers_state, "goes on", RuntimeError),
    (stored_values, 4, 0),
    (loading_plain_weights, 4, RuntimeError),
    (tied_weights, 10, 0),
    (attention_trained_twice, "trained", RuntimeError),
    (deep_copy, 4, RuntimeError),
    (average, "Linear", RuntimeError),
    (missing_bias, True, False),
    (after_a_refused_call, True, False),
    (a_buffer_of_ones_own, KeyError, 8),
    (soft_masks, ValueError, 0.5),
    (parametrized, TypeError, TypeError),
    (extra_bytes, 2.25, 4.0),
]


@pytest.mark.parametrize(
    ("what", "here", "there"), DIFFERENCES, ids=lambda each: getattr(each, "__name__", "")
)
def test_a_difference_is_as_the_page_says(what, here, there) -> None:
    assert result(what, ours) == here
    if there is None:  # any answer, since none is defined
        assert result(what, theirs) != here
    else:
        assert result(what, theirs) == there


def result(what, lib):
    try:
        return what(lib)
    except Exception as error:
        return type(error)
