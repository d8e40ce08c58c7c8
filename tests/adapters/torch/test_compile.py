"""torch.compile, and the exporters, on a model under pruning."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

import secateur

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*torch.jit.*:DeprecationWarning",  # from inside torch, when it first compiles
    "ignore:Profiler.*:UserWarning",
)
STEPS = 12


@pytest.fixture(autouse=True)
def fresh_compiler():
    torch._dynamo.reset()


def loss_of(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def test_a_compiled_model_is_not_recompiled_when_masks_change(
    small, batches, train, polynomial, assert_masked
):
    counter = CompileCounter()
    compiled = torch.compile(small, backend=counter)
    optimizer = torch.optim.Adam(compiled.parameters())
    pruner = secateur.attach(compiled, polynomial(0.8, 10), optimizer=optimizer)
    data = batches(STEPS)
    train(compiled, optimizer, data[:1])
    before = counter.frame_count
    train(compiled, optimizer, data[1:], after=lambda: assert_masked(small, pruner))
    assert (before, counter.frame_count) == (1, 1)
    assert pruner.current_step == STEPS
    assert set(pruner.masks) == {"conv:kernel", "hidden:kernel", "head:kernel"}


@pytest.mark.parametrize("options", [{}, {"capturable": True}, {"fused": True}], ids=str)
def test_a_compiled_train_step_is_not_recompiled_when_masks_change(
    options, small, batches, polynomial, assert_masked
):
    counter = CompileCounter()
    optimizer = torch.optim.Adam(small.parameters(), **options)
    pruner = secateur.attach(small, polynomial(0.8, 10), optimizer=optimizer)

    @torch.compile(backend=counter)
    def step(batch):
        optimizer.zero_grad()
        loss_of(small, batch).backward()
        optimizer.step()

    frames = []
    for batch in batches(STEPS):
        step(batch)
        frames.append(counter.frame_count)
        assert_masked(small, pruner)
    assert frames[0] > 0
    assert set(frames[2:]) == {frames[2]}  # dynamo itself compiles twice, for lazy state
    assert pruner.current_step == STEPS


def test_a_compiled_optimizer_step_is_not_recompiled_when_masks_change(
    small, batches, polynomial, assert_masked
):
    counter = CompileCounter()
    optimizer = torch.optim.Adam(small.parameters())
    pruner = secateur.attach(small, polynomial(0.8, 10), optimizer=optimizer)
    update = torch.compile(lambda: optimizer.step(), backend=counter)
    frames = []
    for batch in batches(STEPS):
        optimizer.zero_grad()
        loss_of(small, batch).backward()
        update()
        frames.append(counter.frame_count)
        assert_masked(small, pruner)
    assert set(frames) == {frames[0]}
    assert frames[0] > 0
    assert pruner.current_step == STEPS


@pytest.fixture
def pruned(small, batches, train, polynomial):
    optimizer = torch.optim.Adam(small.parameters())
    secateur.attach(small, polynomial(0.8, 3), optimizer=optimizer)
    train(small, optimizer, batches(4))
    return small.eval()


def test_torch_export_of_a_model_under_pruning_holds_the_zeros(pruned, batches):
    ((images, _),) = batches(1)
    program = torch.export.export(pruned, (images,))
    torch.testing.assert_close(program.module()(images), pruned(images))
    assert torch.equal(program.state_dict["head.weight"], pruned.head.weight)
    assert set(program.state_dict) == set(pruned.state_dict())


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_jit_trace_of_a_model_under_pruning_holds_the_zeros(pruned, batches):
    ((images, _),) = batches(1)
    traced = torch.jit.trace(pruned, images)
    torch.testing.assert_close(traced(images), pruned(images))
    assert torch.equal(traced.state_dict()["head.weight"], pruned.head.weight)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_export_of_a_model_under_pruning_holds_the_zeros(pruned, batches, tmp_path):
    ((images, _),) = batches(1)
    path = tmp_path / "model.onnx"
    torch.onnx.export(pruned, (images,), path, verbose=False, external_data=False)
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in onnx.load(path).graph.initializer}
    for name in ("hidden.weight", "head.weight"):
        np.testing.assert_array_equal(weights[name], pruned.get_parameter(name).detach().numpy())
        assert (weights[name] == 0).mean() == pytest.approx(0.8, abs=1e-2)
