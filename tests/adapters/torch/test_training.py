"""Masks follow the optimizer, whatever the optimizer and the loop do."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

import secateur
from secateur.errors import ModelError
from secateur_torch import masking

OPTIMIZERS = {
    "sgd with momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.1),
    "adam": lambda p: torch.optim.Adam(p, 0.01),
    "adam, foreach": lambda p: torch.optim.Adam(p, 0.01, foreach=True),
    "adam, one by one": lambda p: torch.optim.Adam(p, 0.01, foreach=False),
    "adam, fused": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "adamw, amsgrad": lambda p: torch.optim.AdamW(p, 0.01, amsgrad=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.9, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "rprop": lambda p: torch.optim.Rprop(p, 0.01),
    "asgd": lambda p: torch.optim.ASGD(p, 0.01),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_stay_zero_under(name, small, batches, train, polynomial, assert_masked):
    optimizer = OPTIMIZERS[name](small.parameters())
    pruner = secateur.attach(small, polynomial(0.8, 12, frequency=3), optimizer=optimizer)
    train(small, optimizer, batches(15), after=lambda: assert_masked(small, pruner))
    assert pruner.current_step == 15
    kept = {name: int(mask.sum()) for name, mask in pruner.masks.items()}
    assert kept == {"conv:kernel": 14, "hidden:kernel": 1670, "head:kernel": 58}


def test_attach_without_an_optimizer_follows_pruner_step(
    small, batches, train, polynomial, assert_masked
):
    optimizer = torch.optim.Adam(small.parameters())
    pruner = secateur.attach(small, polynomial(0.8, 4))

    def after():
        pruner.step()
        assert_masked(small, pruner)

    train(small, optimizer, batches(5), after)
    assert pruner.current_step == 5


def test_both_ways_give_the_same_masks(small, batches, train, polynomial):
    twin = copy.deepcopy(small)
    data = batches(6)
    optimizer = torch.optim.Adam(small.parameters())
    hooked = secateur.attach(small, polynomial(0.8, 4), optimizer=optimizer)
    train(small, optimizer, data)
    optimizer = torch.optim.Adam(twin.parameters())
    by_hand = secateur.attach(twin, polynomial(0.8, 4))
    train(twin, optimizer, data, after=by_hand.step)
    for name, mask in hooked.masks.items():
        np.testing.assert_array_equal(mask, by_hand.masks[name])
    for key, value in small.state_dict().items():
        assert torch.equal(value, twin.state_dict()[key])


def test_a_negative_pruned_weight_is_plus_zero(small, polynomial):
    with torch.no_grad():
        small.head.weight.fill_(-1.0)
    secateur.attach(small, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    pruned = small.head.weight.detach().numpy()
    assert (pruned == 0).sum() == 145
    assert not np.signbit(pruned[pruned == 0]).any()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_pruned_weight_that_an_update_breaks_is_zero_again(bad, small, polynomial):
    optimizer = torch.optim.SGD(small.parameters(), 1.0)
    pruner = secateur.attach(
        small,
        {"schedule": {"kind": "constant", "final_sparsity": 0.5, "end_step": 0}},
        optimizer=optimizer,
    )
    mask = torch.from_numpy(pruner.masks["head:kernel"].copy())
    small.head.weight.grad = torch.where(mask, 0.0, bad)
    optimizer.step()
    assert not small.head.weight[~mask].any()
    assert small.head.weight[mask].isfinite().all()


def test_accumulated_gradients_are_one_step(small, batches, polynomial, assert_masked):
    optimizer = torch.optim.Adam(small.parameters())
    pruner = secateur.attach(small, polynomial(0.8, 3), optimizer=optimizer)
    for number, (images, labels) in enumerate(batches(12), start=1):
        (nn.functional.cross_entropy(small(images), labels) / 4).backward()
        if number % 4 == 0:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            assert_masked(small, pruner)
    assert pruner.current_step == 3


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_grad_scaler_skips_is_no_step(fused, small, batches, polynomial):
    optimizer = torch.optim.SGD(small.parameters(), 0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    pruner = secateur.attach(small, polynomial(0.8, 4), optimizer=optimizer)
    steps = []
    for number, (images, labels) in enumerate(batches(5)):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            loss = nn.functional.cross_entropy(small(images), labels)
        scaler.scale(loss * (float("inf") if number == 2 else 1.0)).backward()
        scaler.step(optimizer)
        scaler.update()
        steps.append(pruner.current_step)
    assert steps == [1, 2, 2, 3, 4]
    assert pruner.report().sparsity == pytest.approx(0.8, abs=1e-3)


@pytest.mark.parametrize("make", [torch.optim.Adam, torch.optim.SGD])
def test_state_that_distributed_checkpoint_makes_an_optimizer_fill_is_no_step(
    make, small, batches, train, polynomial
):
    optimizer = make(small.parameters(), 0.01)
    pruner = secateur.attach(small, polynomial(0.8, 4), optimizer=optimizer)
    get_optimizer_state_dict(small, optimizer)
    assert pruner.current_step == 0
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step / 2, 1))
    assert optimizer.param_groups[0]["lr"] == 0
    train(small, optimizer, batches(3), after=warm_up.step)
    assert pruner.current_step == 3


def test_an_optimizer_that_is_wrapped_is_followed(small, batches, train, polynomial):
    class Accelerated(torch.optim.Optimizer):
        """As accelerate has it: an Optimizer that was never initialised as one."""

        def __init__(self, optimizer):
            self.optimizer = optimizer

        def zero_grad(self):
            self.optimizer.zero_grad()

        def step(self):
            self.optimizer.step()

    class Broken(torch.optim.Optimizer):
        def __init__(self):
            pass

    optimizer = Accelerated(torch.optim.Adam(small.parameters()))
    pruner = secateur.attach(small, polynomial(0.8, 4), optimizer=optimizer)
    train(small, optimizer, batches(2))
    assert pruner.current_step == 2
    with pytest.raises(ModelError, match=r"is not a torch\.optim\.Optimizer"):
        secateur.attach(copy.deepcopy(small), polynomial(0.8, 4), optimizer=Broken())


def test_a_closure_that_runs_many_times_is_one_step(small, batches, polynomial, assert_masked):
    optimizer = torch.optim.LBFGS(small.parameters(), max_iter=5)
    pruner = secateur.attach(small, polynomial(0.8, 2), optimizer=optimizer)
    runs = 0
    for images, labels in batches(3):

        def closure(images=images, labels=labels):
            nonlocal runs
            runs += 1
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(small(images), labels)
            loss.backward()
            return loss

        optimizer.step(closure)
        assert_masked(small, pruner)
    assert runs > 3
    assert pruner.current_step == 3


def test_several_optimizers_make_one_step_and_masks_hold_after_each(
    small, batches, polynomial, assert_masked
):
    first = torch.optim.Adam(small.conv.parameters(), 0.1)
    norms = torch.optim.SGD(small.norm.parameters(), 0.1)
    last = torch.optim.Adam(
        [{"params": small.hidden.parameters()}, {"params": small.head.parameters(), "lr": 0.1}]
    )
    pruner = secateur.attach(small, polynomial(0.8, 2), optimizer=[first, last, norms])
    for images, labels in batches(3):
        nn.functional.cross_entropy(small(images), labels).backward()
        for optimizer in (first, last, norms):
            optimizer.step()
            assert_masked(small, pruner)
            optimizer.zero_grad()
    assert pruner.current_step == 3


def test_an_optimizer_of_other_parameters_counts_the_steps_of_frozen_weights(
    small, batches, polynomial, assert_masked
):
    for weight in secateur.plan(small, polynomial(0.8, 2)).weights:
        small.get_submodule(weight.spec.name.partition(":")[0]).requires_grad_(False)
    optimizer = torch.optim.SGD(small.norm.parameters(), 0.1)
    pruner = secateur.attach(small, polynomial(0.8, 2), optimizer=optimizer)
    for images, labels in batches(3):
        nn.functional.cross_entropy(small(images), labels).backward()
        optimizer.step()
        assert_masked(small, pruner)
    assert pruner.current_step == 3
    assert pruner.report().sparsity > 0.79


def test_an_optimizer_of_another_model_is_refused_and_nothing_changes(small, polynomial):
    before = copy.deepcopy(small.state_dict())
    stranger = torch.optim.SGD(nn.Linear(2, 2).parameters(), 0.1)
    with pytest.raises(ModelError, match="updates none of the prunable weights"):
        secateur.attach(small, polynomial(0.8, 2), optimizer=stranger)
    with pytest.raises(ModelError, match=r"is not a torch\.optim\.Optimizer"):
        secateur.attach(small, polynomial(0.8, 2), optimizer="adam")
    for key, value in small.state_dict().items():
        assert torch.equal(value, before[key])


def test_the_model_is_untouched_but_for_its_weights(small, batches, train, polynomial):
    keys, cls = list(small.state_dict()), type(small)
    hooks = [dict(vars(module)) for module in small.modules()]
    optimizer = torch.optim.Adam(small.parameters())
    pruner = secateur.attach(small, polynomial(0.5, 2), optimizer=optimizer)
    train(small, optimizer, batches(3))
    assert list(small.state_dict()) == keys
    assert type(small) is cls
    assert [sorted(vars(module)) for module in small.modules()] == [sorted(h) for h in hooks]
    twin = copy.deepcopy(small)
    again = pickle.loads(pickle.dumps(small.state_dict()))  # noqa: S301
    for key, value in small.state_dict().items():
        assert torch.equal(value, twin.state_dict()[key])
        assert torch.equal(value, again[key])
    assert all(isinstance(p, nn.Parameter) and p.is_leaf for p in small.parameters())
    assert pruner.current_step == 3


def test_a_copy_of_the_model_trains_free_of_the_pruner(small, batches, train, polynomial):
    optimizer = torch.optim.Adam(small.parameters())
    pruner = secateur.attach(small, polynomial(0.5, 1), optimizer=optimizer)
    train(small, optimizer, batches(2))
    twin, twin_optimizer = copy.deepcopy((small, optimizer))
    train(twin, twin_optimizer, batches(2))
    assert pruner.current_step == 2
    assert twin.head.weight.count_nonzero() > small.head.weight.count_nonzero()


def test_detach_takes_the_hook_off(small, batches, train, polynomial):
    optimizer = torch.optim.SGD(small.parameters(), 0.1, momentum=0.9)
    pruner = secateur.attach(small, polynomial(0.5, 1), optimizer=optimizer)
    train(small, optimizer, batches(2))
    kept = small.head.weight.count_nonzero()
    pruner.detach()
    train(small, optimizer, batches(2))
    assert pruner.current_step == 2
    assert small.head.weight.count_nonzero() > kept
    assert not optimizer._optimizer_step_post_hooks


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_of_every_float_dtype_stay_masked(
    dtype, small, batches, train, polynomial, assert_masked
):
    small.to(dtype)
    optimizer = torch.optim.SGD(small.parameters(), 0.01, momentum=0.9)
    pruner = secateur.attach(small, polynomial(0.8, 3), optimizer=optimizer)
    data = [(images.to(dtype), labels) for images, labels in batches(4)]
    train(small, optimizer, data, after=lambda: assert_masked(small, pruner))
    assert {weight.dtype for weight in small.parameters()} == {dtype}
    assert int(pruner.masks["hidden:kernel"].sum()) == 1670


def test_parameters_that_are_replaced_are_masked_still(small, polynomial, assert_masked):
    pruner = secateur.attach(small, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    dense = {key: torch.ones_like(value) for key, value in small.state_dict().items()}
    small.load_state_dict(dense, assign=True)
    pruner.step()
    assert_masked(small, pruner)
    small.double()
    small.hidden.weight.data = torch.ones(29, 288, dtype=torch.float64)
    pruner.step()
    assert_masked(small, pruner)


def test_channels_last_weights_get_the_same_masks(small, polynomial):
    twin = copy.deepcopy(small).to(memory_format=torch.channels_last)
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
    assert not twin.conv.weight.is_contiguous() or twin.conv.weight.shape[1] == 1
    one = secateur.prune(small, policy).masks
    other = secateur.prune(twin, policy).masks
    for name, mask in one.items():
        np.testing.assert_array_equal(mask, other[name])
    assert torch.equal(small.conv.weight, twin.conv.weight)


def test_masks_take_one_byte_a_weight_held_once(small, polynomial):
    pruner = secateur.attach(small, polynomial(0.5, 2))
    pairs = pruner._binding.binding.pairs
    assert sum(mask.nbytes for _, mask in pairs) == 72 + 8352 + 290
    for weight, mask in pairs:
        array = pruner.masks[weight.spec.name]
        assert mask.data_ptr() == array.__array_interface__["data"][0]


def test_large_weights_are_masked_by_numpy(monkeypatch):
    monkeypatch.setattr(masking, "LARGE", 50)
    policy = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}
    layers = nn.Linear(20, 9), nn.Conv2d(2, 3, 9).to(memory_format=torch.channels_last)
    for layer in layers:
        pruner = secateur.attach(layer, policy)
        (mask,) = pruner.masks.values()
        layer.weight.data.fill_(-1.0)
        pruner.step(0)
        kept = layer.weight.detach().numpy()
        np.testing.assert_array_equal(kept, np.where(mask, np.float32(-1), np.float32(0)))
        assert not np.signbit(kept[~mask]).any()


def test_weights_that_were_put_in_place_are_told_until_they_are_masked(small):
    pruner = secateur.attach(small, {"schedule": {"kind": "constant", "final_sparsity": 0.5}})
    assert pruner.report().notes == ()
    small.load_state_dict({key: torch.ones_like(v) for key, v in small.state_dict().items()})
    assert "pruner.step(0) masks them" in pruner.report().notes[0]
    pruner.step(0)
    assert pruner.report().notes == ()
    assert pruner.current_step == 0


def test_a_state_on_another_device_or_with_a_gradient_is_loaded(small, polynomial, monkeypatch):
    pruner = secateur.attach(small, polynomial(0.8, 4))
    pruner.step(2)
    with torch.device("meta"):  # the default device of a script is not where states live
        state = pruner.state_dict()
    assert {value.device.type for value in state.values()} == {"cpu"}
    state["step"] = state["step"].double().requires_grad_().long()
    again = secateur.attach(copy.deepcopy(small), polynomial(0.8, 4))
    again.load_state_dict(state)
    assert again.current_step == 2
