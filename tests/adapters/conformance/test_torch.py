"""The PyTorch adapter meets the contract."""

from __future__ import annotations

import copy
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import secateur
from secateur.testing import LAYERS, AdapterConformance
from secateur_torch.plugin import TorchAdapter


class Outputs(nn.Module):
    """A recurrent layer without its last state, or attention of a sequence to itself."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        attends = isinstance(self.inner, nn.MultiheadAttention)
        return (self.inner(x, x, x) if attends else self.inner(x))[0]


def set_(parameter, array):
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.ascontiguousarray(array)))


def convolution(layer):
    weight = layer.weights["kernel"]
    rank = weight.ndim - 2
    sizes = (weight.shape[1] * layer.groups, weight.shape[0], weight.shape[2:])
    if layer.kind == "conv_transpose":
        made = getattr(nn, f"ConvTranspose{rank}d")(*sizes, bias=False)
        set_(made.weight, weight.swapaxes(0, 1))
    else:
        made = getattr(nn, f"Conv{rank}d")(*sizes, bias=False, groups=layer.groups)
        set_(made.weight, weight)
    return made


def recurrent(layer):
    kernel, state = layer.weights["kernel"], layer.weights["recurrent"]
    cls = {"simple_rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[layer.type]
    made = cls(kernel.shape[2], state.shape[1], bias=False, batch_first=True)
    set_(made.weight_ih_l0, kernel.reshape(-1, kernel.shape[2]))
    set_(made.weight_hh_l0, state.reshape(-1, state.shape[2]))
    return Outputs(made)


def attention(layer):
    made = nn.MultiheadAttention(6, layer.heads, bias=False, batch_first=True)
    packed = [layer.weights[role] for role in ("query", "key", "value")]
    set_(made.in_proj_weight, np.concatenate(packed))
    set_(made.out_proj.weight, layer.weights["output"])
    return Outputs(made)


def make_layer(layer):
    if layer.type == "other":
        return nn.LayerNorm(4)
    if layer.type == "dense":
        made = nn.Linear(*layer.weights["kernel"].shape[::-1], bias=False)
        made.to(getattr(torch, layer.dtype))
        set_(made.weight, layer.weights["kernel"])
        return made
    if layer.type == "embedding":
        return nn.Embedding.from_pretrained(
            torch.from_numpy(layer.weights["embedding"].copy()), freeze=False
        )
    if layer.kind == "rnn":
        return recurrent(layer)
    return attention(layer) if layer.kind == "attention" else convolution(layer)


class TestTorch(AdapterConformance):
    adapter = TorchAdapter()
    layers = LAYERS
    dtypes = ("float16", "float32", "float64")
    clips = has_momentum = True

    def make_model(self, layers):
        made = {id(layer): make_layer(layer) for layer in layers}
        model = nn.Sequential()
        for number, layer in enumerate(layers):
            again = layer in layers[:number]
            model.add_module(f"{layer.name}_again" if again else layer.name, made[id(layer)])
        return model

    def run(self, model, inputs):
        with torch.no_grad():
            return model(torch.from_numpy(inputs)).numpy()

    def attach(self, model, policy):
        self.optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=self.momentum)
        pruner = secateur.attach(model, policy, optimizer=self.optimizer)
        self.optimizers = getattr(self, "optimizers", weakref.WeakKeyDictionary())
        self.optimizers[pruner] = self.optimizer
        return pruner

    def train_step(self, model, inputs, pruner):
        if pruner is None:
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
        else:
            optimizer = self.optimizers[pruner]
        optimizer.zero_grad()
        (model(torch.from_numpy(inputs)) - 1).square().mean().backward()
        if self.clip_at is not None:
            nn.utils.clip_grad_value_(model.parameters(), self.clip_at)
        optimizer.step()

    def save_and_load(self, model, folder):
        torch.save(model.state_dict(), folder / "model.pt")
        loaded = copy.deepcopy(model)
        for parameter in loaded.parameters():
            nn.init.zeros_(parameter)
        loaded.load_state_dict(torch.load(folder / "model.pt", weights_only=True))
        return loaded

    def overwrite(self, model, layers):
        for layer in layers:
            set_(model.get_submodule(layer.name).weight, layer.weights["kernel"])

    def replace_layer(self, model, layer):
        setattr(model, layer.name, make_layer(layer))

    def structure(self, model):
        own = [[key for key, value in vars(m).items() if value] for m in model.modules()]
        return [(key, t.shape, t.dtype) for key, t in model.state_dict().items()], own

    def hooks(self, model):
        return hasattr(self, "optimizer") and bool(self.optimizer._optimizer_step_post_hooks)


@pytest.mark.filterwarnings("ignore:weights of .* come back:secateur.StateWarning")
class TestTorchByHand(TestTorch):
    """Without ``optimizer=``: the loop calls ``pruner.step()``."""

    layers = ("dense",)
    has_momentum = False

    def attach(self, model, policy):
        return secateur.attach(model, policy)

    def train_step(self, model, inputs, pruner):
        super().train_step(model, inputs, None)
        if pruner is not None:
            pruner.step()
