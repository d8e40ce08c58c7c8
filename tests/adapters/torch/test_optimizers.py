"""Several optimizers, graphs built before a step, and updates that nobody counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn

import secateur
from secateur.errors import StateWarning

SCHEDULES = {
    "held": {"kind": "constant", "final_sparsity": 0.5},
    "each step": {
        "kind": "linear",
        "initial_sparsity": 0.1,
        "final_sparsity": 0.5,
        "begin_step": 0,
        "end_step": 6,
        "frequency": 1,
    },
    "once": {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 6},
}


def parts(count=2):
    torch.manual_seed(0)
    return nn.ModuleList([nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 6)) for _ in range(count)])


def adam(*modules):
    return torch.optim.Adam([p for m in modules for p in m.parameters()], 0.01)


def assert_masked(model, pruner):
    """Check that the live zeros are those of the masks."""
    layers = dict(model.named_modules())
    for name, mask in pruner.masks.items():
        weight = layers[name.partition(":")[0]].weight.detach().numpy()
        np.testing.assert_array_equal(weight != 0, mask, name)


def both_losses_first(g, d, og, od, x):
    """A GAN whose two losses are computed before either is used."""
    fake = g(x)
    loss_g = d(fake).square().mean()
    loss_d = (d(fake.detach()) - 1).square().mean()
    og.zero_grad()
    loss_g.backward(inputs=list(g.parameters()))
    og.step()
    od.zero_grad()
    loss_d.backward()
    od.step()


def actor_and_critic(actor, critic, oa, oc, x):
    value = critic(x).mean()
    loss_actor = (actor(x) * value.detach()).mean()
    loss_critic = (value - 1).square()
    (loss_actor + loss_critic).backward()
    oa.step()
    oc.step()
    oa.zero_grad()
    oc.zero_grad()


def one_after_the_other(g, d, og, od, x):
    od.zero_grad()
    (d(g(x).detach()) - 1).square().mean().backward()
    od.step()
    og.zero_grad()
    d(g(x)).square().mean().backward()
    og.step()


def critic_five_times(g, d, og, od, x):
    loss_g = g(x).square().mean()
    for _ in range(5):
        od.zero_grad()
        d(x).square().mean().backward()
        od.step()
    og.zero_grad()
    loss_g.backward()
    og.step()


LOOPS = [both_losses_first, actor_and_critic, one_after_the_other, critic_five_times]


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.__name__)
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["first, second", "second, first"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_loop_of_two_optimizers_that_works_without_pruning_works_with_it(loop, order, schedule):
    model = parts()
    optimizers = [adam(part) for part in model]
    pruner = secateur.attach(
        model, {"schedule": SCHEDULES[schedule]}, optimizer=[optimizers[n] for n in order]
    )
    for _ in range(8):
        loop(*model, *optimizers, torch.randn(4, 6))
        assert_masked(model, pruner)
    rounds = 5 if loop is critic_five_times and order[-1] == 1 else 1
    assert pruner.current_step == 8 * rounds
    assert pruner.report().notes == ()
    assert pruner.report().sparsity == 0.5


@pytest.mark.parametrize("order", ["registered", "reversed", "mixed"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_an_optimizer_for_each_parameter_that_steps_in_backward(order, schedule):
    model = parts(3)
    optimizers = {p: torch.optim.Adam([p], 0.01) for p in model.parameters()}
    given = list(optimizers.values())
    if order == "reversed":
        given.reverse()
    elif order == "mixed":
        given = given[5:] + given[:5]

    def step(parameter):
        optimizers[parameter].step()
        optimizers[parameter].zero_grad()

    for parameter in model.parameters():
        parameter.register_post_accumulate_grad_hook(step)
    pruner = secateur.attach(model, {"schedule": SCHEDULES[schedule]}, optimizer=given)
    for _ in range(8):
        x = torch.randn(4, 6)
        sum(part(x).square().mean() for part in model).backward()
        assert_masked(model, pruner)
    assert pruner.current_step == 8
    assert pruner.report().notes == ()


def test_parameters_without_a_gradient_are_written_only_where_they_must_be():
    model = parts()
    optimizer = adam(*model)
    pruner = secateur.attach(model, {"schedule": SCHEDULES["held"]}, optimizer=optimizer)
    for _ in range(3):
        x = torch.randn(4, 6)
        first, second = model[0](x).square().mean(), model[1](x).square().mean()
        optimizer.zero_grad()
        first.backward()
        optimizer.step()  # which leaves the second part alone
        optimizer.zero_grad()
        second.backward()
        optimizer.step()
        assert_masked(model, pruner)
    assert pruner.current_step == 6
    with torch.no_grad():
        model[1][0].weight.fill_(1.0)
    optimizer.zero_grad()
    model[0](x).mean().backward()
    optimizer.step()
    assert_masked(model, pruner)


def test_frozen_weights_in_a_graph_that_was_built_before_are_left_alone():
    model = parts()
    model[1].requires_grad_(False)
    optimizer = adam(model[0])
    policy = {"schedule": {"kind": "constant", "final_sparsity": 0.5, "frequency": 1}}
    pruner = secateur.attach(model, policy, optimizer=optimizer)
    for _ in range(3):
        x = torch.randn(4, 6, requires_grad=True)
        first, second = model[0](x).square().mean(), model[1](x).square().mean()
        first.backward()
        optimizer.step()
        second.backward()
        assert_masked(model, pruner)


def test_an_optimizer_that_stops_is_not_waited_for():
    model = parts()
    optimizers = [adam(part) for part in model]
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 5}}
    pruner = secateur.attach(model, policy, optimizer=optimizers[::-1])
    for _ in range(40):
        optimizers[0].zero_grad()
        model[0](torch.randn(4, 6)).square().mean().backward()
        optimizers[0].step()
    assert_masked(model, pruner)


def test_a_step_by_hand_writes_all():
    model = parts()
    optimizers = [adam(part) for part in model]
    policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5, "begin_step": 1}}
    pruner = secateur.attach(model, policy, optimizer=optimizers[::-1])
    model[0](torch.randn(4, 6)).square().mean().backward()
    optimizers[0].step()
    pruner.step(0)
    assert_masked(model, pruner)


def quietly(act, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return act(*args, **kwargs)


def test_weights_that_no_given_optimizer_updates_are_named_at_attach():
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6))
    optimizer = adam(model)
    model[2] = nn.Linear(6, 2)
    model[1].requires_grad_(False)
    policy = {"schedule": SCHEDULES["held"]}
    with pytest.warns(StateWarning, match=r"does not update 2:kernel, which"):
        pruner = secateur.attach(model, policy, optimizer=optimizer)
    model(torch.randn(4, 6)).square().mean().backward()
    optimizer.step()
    assert pruner.current_step == 1
    assert_masked(model, pruner)


def test_weights_that_the_policy_leaves_dense_are_not_named():
    model = parts()
    rules = [{"match": {"name": "1.*"}, "prune": False}, {"match": {}}]
    policy = {"schedule": SCHEDULES["held"], "rules": rules}
    secateur.attach(model, policy, optimizer=adam(model[0]))


def test_few_of_many_weights_are_named():
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(40)))
    with pytest.warns(StateWarning, match=r"1:kernel, 2:kernel.* and 34 more") as caught:
        secateur.attach(model, {"schedule": SCHEDULES["held"]}, optimizer=adam(model[0]))
    assert len(str(caught[0].message)) < 500


def test_a_warning_that_is_an_error_leaves_no_hook():
    model = parts()
    optimizer = adam(model[0])
    with pytest.raises(StateWarning):
        secateur.attach(model, {"schedule": SCHEDULES["held"]}, optimizer=optimizer)
    assert not optimizer._optimizer_step_post_hooks


def train(model, optimizer, count=1):
    for _ in range(count):
        optimizer.zero_grad()
        model[0](torch.randn(4, 6)).square().mean().backward()
        optimizer.step()


def notes(pruner):
    return dict(pruner._binding.model_changes())


@pytest.mark.parametrize("count", [1, 5])
@pytest.mark.parametrize("clear", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_training_that_is_not_counted_is_told(count, clear, schedule):
    model = parts()
    optimizer = adam(*model)
    pruner = secateur.attach(model, {"schedule": SCHEDULES[schedule]})
    assert "optimizer" not in notes(pruner)
    train(model, optimizer, count)
    if clear and count > 1:
        optimizer.zero_grad()
    assert "no step was counted" in notes(pruner)["optimizer"]
    assert "pruner.step()" in notes(pruner)["optimizer"]
    pruner.step()
    assert "optimizer" not in notes(pruner)


def test_weights_that_are_loaded_are_no_training():
    model = parts()
    pruner = secateur.attach(model, {"schedule": SCHEDULES["once"]})
    model.load_state_dict(parts().state_dict())
    assert not notes(pruner)
    model.eval()
    with torch.no_grad():
        model[0](torch.ones(1, 6))
    assert not notes(pruner)


class Sharpness(torch.optim.Optimizer):
    """As SAM has it: another optimizer makes the updates."""

    def __init__(self, parameters, base):
        super().__init__(parameters, {})
        self.base_optimizer = base(self.param_groups, lr=0.1)

    def second_step(self):
        self.base_optimizer.step()


def test_an_optimizer_whose_step_is_never_called_is_told():
    model = parts()
    optimizer = Sharpness(model.parameters(), torch.optim.SGD)
    policy = {"schedule": SCHEDULES["held"]}
    pruner = secateur.attach(model, policy, optimizer=optimizer)
    for _ in range(2):
        sum(part(torch.randn(4, 6)).square().mean() for part in model).backward()
        optimizer.second_step()
    note = notes(pruner)["optimizer"]
    assert "Sharpness.step() was never called" in note
    assert "base_optimizer" in note
    quietly(pruner.detach)
    pruner = secateur.attach(model, policy, optimizer=optimizer.base_optimizer)
    optimizer.second_step()
    assert not notes(pruner)
    assert pruner.current_step == 1
