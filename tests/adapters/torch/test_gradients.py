"""Criteria get the gradient that the optimizer's rule was given, of the last update."""

from __future__ import annotations

import io
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

import secateur

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))


class Spy(secateur.Criterion):
    """Remembers the last gradient, to be read from the state."""

    kind = "spy_of_torch"
    elementwise = True
    needs: ClassVar = {"gradient"}
    memory: ClassVar = {"gradient": "float64"}

    def update(self, state, weight, gradient, context):
        return {"gradient": gradient}

    def score(self, weight, context):
        return np.abs(weight)


@pytest.fixture(autouse=True)
def _registered():
    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Spy]

    secateur.register(Plugin(), "spy-of-torch")
    yield
    secateur.unregister("spy-of-torch")


def policy(criterion="spy_of_torch", begin=1):
    schedule = {"kind": "constant", "final_sparsity": 0.5, "begin_step": begin, "frequency": 1}
    return {"criterion": criterion, "schedule": schedule}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def seen(pruner, name):
    return pruner.state_dict()[f"memory/gradient/{name}"].numpy()


def assert_seen(pruner, name, gradient):
    np.testing.assert_array_equal(seen(pruner, name), gradient.double().numpy().ravel())


def loss_of(model, x=X):
    return model(x).square().sum()


def test_it_is_the_gradient_after_clipping_and_accumulation():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pruner = secateur.attach(model, policy(), optimizer=optimizer)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        for part in X.split(4):
            loss_of(model, part).backward()
        before = model[0].weight.grad.clone()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        assert_seen(pruner, "0:kernel", model[0].weight.grad)
        assert not torch.equal(before, model[0].weight.grad)
    pruner.detach()


@pytest.mark.parametrize("fused", [False, True])
def test_it_has_the_loss_scale_undone_and_skipped_updates_do_not_count(fused):
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), 0.01, fused=fused)
    pruner = secateur.attach(model, policy(), optimizer=optimizer)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    wanted = None
    for factor in (1.0, float("inf"), 2.0):
        optimizer.zero_grad()
        loss = loss_of(model) * factor
        if np.isfinite(factor):
            (wanted,) = torch.autograd.grad(loss, model[0].weight, retain_graph=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        np.testing.assert_allclose(
            seen(pruner, "0:kernel"), wanted.double().numpy().ravel(), rtol=1e-5
        )
    assert pruner.current_step == 2
    pruner.detach()


def test_each_of_several_optimizers_has_its_own():
    model = network()
    first, second = (torch.optim.SGD(model[at].parameters(), 0.1) for at in (0, 2))
    pruner = secateur.attach(model, policy(), optimizer=[first, second])
    for turn in range(4):
        gradients = [torch.zeros(6, 4)]
        for optimizer, at in ((first, 0), (second, 2))[turn == 2 :]:  # once the first one rests
            optimizer.zero_grad()
            loss_of(model).backward()  # the second one adds to the first layer's gradient, too
            gradients.append(model[at].weight.grad.clone())
            optimizer.step()
        assert_seen(pruner, "0:kernel", gradients[-2])
        assert_seen(pruner, "2:kernel", gradients[-1])
    pruner.detach()


def test_a_layer_without_a_gradient_counts_as_zero_and_a_frozen_one_is_noted():
    model = nn.ModuleDict({"used": nn.Linear(4, 4), "idle": nn.Linear(4, 4)})
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    pruner = secateur.attach(model, policy(), optimizer=optimizer)
    loss_of(model["used"]).backward()
    optimizer.step()
    assert_seen(pruner, "idle:kernel", torch.zeros(16))
    assert_seen(pruner, "used:kernel", model["used"].weight.grad)
    pruner.detach()
    model["idle"].weight.requires_grad_(False)
    with pytest.warns(secateur.PolicyWarning, match="idle:kernel is frozen"):
        secateur.plan(model, policy())


def test_without_an_optimizer_a_gradient_that_was_cleared_is_said_at_the_first_step():
    model = network()
    pruner = secateur.attach(model, policy("saliency", begin=50))
    with pytest.raises(secateur.ModelError, match="before gradients are cleared"):
        pruner.step()
    assert pruner.current_step == 0
    loss_of(model).backward()
    pruner.step()
    assert pruner.current_step == 1


def test_a_weight_that_is_computed_from_its_parameter_has_none():
    model = network()
    nn.utils.parametrizations.weight_norm(model[0])
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with pytest.raises(secateur.ModelError, match="0:kernel: the layer computes this weight"):
        secateur.attach(model, policy(), optimizer=optimizer)


def trained(dtype, stop=None):
    model = network().to(dtype)
    optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
    pruner = secateur.attach(model, policy("movement", begin=2), optimizer=optimizer)
    for step in range(5):
        if step == stop:
            file = io.BytesIO()
            torch.save((model.state_dict(), optimizer.state_dict(), pruner.state_dict()), file)
            pruner.detach()
            file.seek(0)
            states = torch.load(file, weights_only=True)
            model = network().to(dtype)
            optimizer = torch.optim.SGD(model.parameters(), 0.05, momentum=0.9)
            pruner = secateur.attach(model, policy("movement", begin=2), optimizer=optimizer)
            for each, state in zip((model, optimizer, pruner), states, strict=True):
                each.load_state_dict(state)
        optimizer.zero_grad()
        model(X.to(dtype) * (step + 1)).square().mean().backward()
        optimizer.step()
    return {key: value.numpy() for key, value in pruner.state_dict().items()}


@pytest.mark.filterwarnings("ignore::secateur.ScheduleWarning")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_movement_resumes_bit_for_bit(dtype):
    whole = trained(dtype)
    for stop in (1, 3):
        found = trained(dtype, stop)
        assert list(found) == list(whole)
        for key, value in whole.items():
            np.testing.assert_array_equal(found[key], value, key)
