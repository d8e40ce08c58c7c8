"""Classes below a known layer: those that compute with other values are skipped."""

from __future__ import annotations

import types

import pytest
import torch
import torch.nn.functional as F  # noqa: N812 - as users write it
from torch import nn

import secateur
from secateur.adapter import LayerWeight
from secateur_torch.binding import bind


def conv_same(x, kernel, bias=None, stride=(1, 1)):
    """A function of a library, to which a layer passes its weight."""
    height, width = kernel.shape[-2:]
    x = F.pad(x, (width // 2, width // 2, height // 2, height // 2))
    return F.conv2d(x, kernel, bias, stride)


def standardized(weight):
    return (weight - weight.mean()) / weight.std()


class Plain(nn.Linear):
    pass


class Padded(nn.Conv2d):
    def forward(self, x):
        size = self.weight.size()[-2:]
        x = F.pad(x, (size[1] // 2,) * 2 + (size[0] // 2,) * 2)
        return F.conv2d(x, self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


class ByFunction(nn.Conv2d):
    def forward(self, x):
        return conv_same(x, self.weight, self.bias, self.stride)


class ByConvForward(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return F.conv2d(F.relu(x), weight, bias, self.stride)


class ByOwnMethod(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(F.relu(x), self.weight, self.bias)


class Super(nn.Linear):
    def forward(self, x):
        return super().forward(torch.relu(x)) * 2


class OldSuper(nn.Linear):
    def forward(self, x):
        return nn.Linear.forward(self, x)


class Cast(nn.Linear):
    """As timm's Linear."""

    def forward(self, x):
        if torch.jit.is_scripting():
            bias = self.bias.to(dtype=x.dtype) if self.bias is not None else None
            return F.linear(x, self.weight.to(dtype=x.dtype), bias=bias)
        return F.linear(x, self.weight, self.bias)


class Alias(nn.Linear):
    def forward(self, x):
        weight, bias = self.weight, self.bias
        if weight.dtype != x.dtype:
            x = x.to(weight.dtype)
        assert weight is not None
        return F.linear(x, weight, bias)


class Product(nn.Linear):
    def forward(self, x):
        return x @ self.weight.t() + self.bias


class ScaledOutput(nn.Embedding):
    def forward(self, tokens):
        return super().forward(tokens) * self.weight.shape[1] ** 0.5


class Positions(nn.Embedding):
    """A table of which the first rows are returned."""

    def forward(self, length):
        return self.weight[:length]


class Transposing(nn.Linear):
    """As loralib's, whose low-rank part is added to the output."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.down = nn.Linear(sizes[0], 2, bias=False)
        self.up = nn.Linear(2, sizes[1], bias=False)

    def forward(self, x):
        def turned(weight):
            return weight.transpose(0, 1).T if weight.ndim else weight

        return F.linear(x, turned(self.weight), self.bias) + self.up(self.down(x))


class Helper(nn.Linear):
    @property
    def matrix(self):
        return self.weight

    def bias_of(self, x):
        return None if self.bias is None else self.bias.to(x)

    def forward(self, x):
        return F.linear(x, self.matrix, self.bias_of(x))


class BelowPadded(Padded):
    def forward(self, x):
        return super().forward(x).relu()


class Recurrent(nn.LSTM):
    def forward(self, x, state=None):
        output, state = super().forward(x, state)
        return output.relu(), state


class Attention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]


USED_AS_IT_IS = {
    "plain": lambda: Plain(3, 3),
    "padded": lambda: Padded(2, 2, 3),
    "by a function": lambda: ByFunction(2, 2, 3),
    "by _conv_forward": lambda: ByConvForward(2, 2, 3),
    "by a method of its own": lambda: ByOwnMethod(2, 2, 3),
    "super": lambda: Super(3, 3),
    "old super": lambda: OldSuper(3, 3),
    "cast": lambda: Cast(3, 3),
    "alias": lambda: Alias(3, 3),
    "product": lambda: Product(3, 3),
    "scaled output": lambda: ScaledOutput(5, 3),
    "positions": lambda: Positions(5, 3),
    "transposing": lambda: Transposing(3, 3),
    "helper": lambda: Helper(3, 3),
    "below padded": lambda: BelowPadded(2, 2, 3),
    "recurrent": lambda: Recurrent(3, 3),
    "attention": lambda: Attention(4, 2),
}


class Standardized(nn.Conv2d):
    """As timm's StdConv2d."""

    def forward(self, x):
        weight = F.batch_norm(
            self.weight.reshape(1, self.out_channels, -1), None, None, training=True
        ).reshape_as(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


class StandardizedInConvForward(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        weight = weight - weight.mean((1, 2, 3), keepdim=True)
        return super()._conv_forward(x, weight, bias)


class ByHelperFunction(nn.Conv2d):
    def forward(self, x):
        return F.conv2d(x, standardized(self.weight), self.bias)


class ByHelperMethod(nn.Linear):
    def effective(self):
        return self.weight * self.weight.abs().gt(0.1)

    def forward(self, x):
        return F.linear(x, self.effective(), self.bias)


class ByProperty(nn.Linear):
    @property
    def effective(self):
        return torch.tanh(self.weight)

    def forward(self, x):
        return F.linear(x, self.effective)


class Merged(nn.Linear):
    """A low-rank part that is added to the weight."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.a = nn.Parameter(torch.zeros(2, sizes[0]))
        self.b = nn.Parameter(torch.zeros(sizes[1], 2))

    def forward(self, x):
        return F.linear(x, self.weight + self.b @ self.a, self.bias)


class Scaled(nn.Linear):
    """Equalized learning rates."""

    def forward(self, x):
        return F.linear(x, self.weight * self.in_features**-0.5, self.bias)


class Noisy(nn.Linear):
    def forward(self, x):
        weight = self.weight
        if self.training:
            weight = weight + torch.randn_like(weight)
        return F.linear(x, weight, self.bias)


class Rotated(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.turn = nn.Parameter(torch.eye(sizes[0]))

    def forward(self, x):
        return F.linear(x, F.linear(self.weight, self.turn), self.bias)


class Multiplied(Rotated):
    def forward(self, x):
        turn = self.turn
        return F.linear(x, self.weight @ turn, self.bias)


class Quantizing(nn.Linear):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.quantizer = nn.Hardtanh()

    def forward(self, x):
        return F.linear(x, self.quantizer(self.weight), self.bias)


class Function(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight):
        return x @ weight.sign().t()

    @staticmethod
    def backward(ctx, gradient):
        return None, None


class Binary(nn.Linear):
    def forward(self, x):
        return Function.apply(x, self.weight)


class InPlace(nn.Linear):
    def forward(self, x):
        self.weight.data.clamp_(-1, 1)
        return super().forward(x)


class Nested(nn.Linear):
    def forward(self, x):
        def compute(y):
            return F.linear(y, self.weight.abs())

        return torch.utils.checkpoint.checkpoint(compute, x, use_reentrant=False)


class ByLambda(nn.Linear):
    def forward(self, x):
        return (lambda y: F.linear(y, -self.weight))(x)


class Either(nn.Linear):
    def forward(self, x):
        weight = self.weight if self.training else self.frozen
        return F.linear(x, weight)


class Unused(nn.Linear):
    def forward(self, x):
        return F.linear(x, self.other)


class ByName(nn.Linear):
    def forward(self, x):
        return F.linear(x, getattr(self, "weight").exp())  # noqa: B009 - as users write it


class BelowStandardized(Standardized):
    def forward(self, x):
        return super().forward(x).relu()


class Called(nn.Linear):
    def __call__(self, x):
        return F.linear(x, self.weight.clamp(min=0))


class NormedRows(nn.Embedding):
    def forward(self, tokens):
        return F.embedding(tokens, F.normalize(self.weight, dim=1))


class DroppedRecurrent(nn.LSTM):
    def forward(self, x):
        dropped = F.dropout(self.weight_hh_l0, 0.5)
        return torch._VF.lstm(x, (self.weight_ih_l0, dropped))


class FlatRecurrent(nn.GRU):
    def forward(self, x):
        self._flat_weights = [each * 2 for each in self._flat_weights]
        return super().forward(x)


OTHER_VALUES = {
    cls.__name__: (lambda cls=cls: cls(3, 3))
    for cls in (
        ByHelperMethod,
        ByProperty,
        Merged,
        Scaled,
        Noisy,
        Rotated,
        Multiplied,
        Quantizing,
        Binary,
        InPlace,
        Nested,
        ByLambda,
        Either,
        Unused,
        ByName,
        Called,
        NormedRows,
        DroppedRecurrent,
        FlatRecurrent,
    )
} | {
    cls.__name__: (lambda cls=cls: cls(2, 2, 3))
    for cls in (Standardized, StandardizedInConvForward, ByHelperFunction, BelowStandardized)
}


def test_all_of_them_are_tried():
    assert len(OTHER_VALUES) == 23


@pytest.mark.parametrize("case", USED_AS_IT_IS)
def test_a_class_that_uses_its_weight_as_it_is_is_pruned(case):
    binding = bind(nn.ModuleDict({"m": USED_AS_IT_IS[case]()}))
    assert not [each for each in binding.skipped if "compute" in each.reason]
    assert any(weight.spec.layer == "m" for weight in binding.weights)


@pytest.mark.parametrize("case", OTHER_VALUES)
def test_a_class_that_computes_with_other_values_is_skipped_with_the_reason(case):
    layer = OTHER_VALUES[case]()
    binding = bind(nn.ModuleDict({"m": layer, "good": nn.Linear(2, 2)}))
    assert [w.spec.name for w in binding.weights if w.spec.layer == "m"] == []
    skipped = {each.name.partition(":")[0]: each for each in binding.skipped}
    reason = skipped["m"].reason
    assert reason.startswith(f"{case}: overrides ")
    assert "secateur_layer_weights hook can teach it" in reason
    assert skipped["m"].size > 0
    assert len(reason) < 300


def test_a_forward_that_is_set_on_a_layer_is_looked_at():
    good, bad = nn.Linear(3, 3), nn.Linear(3, 3)
    good.forward = types.MethodType(lambda self, x: F.linear(x.relu(), self.weight), good)
    bad.forward = lambda x: F.linear(x, bad.weight.tanh())
    binding = bind(nn.ModuleDict({"good": good, "bad": bad}))
    assert [weight.spec.name for weight in binding.weights] == ["good:kernel"]


def test_without_source_a_class_that_touches_its_weight_is_skipped():
    names = {"nn": nn, "F": F}
    exec(  # noqa: S102 - there is no source to read then
        "class Bare(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return super().forward(x)\n"
        "class Touching(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        return F.linear(x, self.weight * 2)\n",
        names,
    )
    model = nn.ModuleDict({"bare": names["Bare"](2, 2), "touching": names["Touching"](2, 2)})
    binding = bind(model)
    assert [weight.spec.name for weight in binding.weights] == ["bare:kernel"]
    assert "source is not there" in binding.skipped[0].reason


def test_a_plugin_teaches_a_class_that_computes_with_other_values():
    class Plugin:
        @secateur.hookimpl
        def secateur_layer_weights(self, adapter, layer):
            return [LayerWeight("weight", "dense")] if isinstance(layer, Scaled) else None

    plugin = Plugin()
    secateur.register(plugin, "scaled")
    try:
        assert [weight.spec.name for weight in bind(Scaled(2, 2)).weights] == ["Scaled:kernel"]
    finally:
        secateur.unregister("scaled")


def test_layers_of_torch_itself_are_known():
    layers = nn.ModuleList(
        [nn.Transformer(8, 2, 1, 1, 16, batch_first=True), nn.LSTM(3, 3), nn.Bilinear(2, 2, 2)]
    )
    assert not [each for each in bind(layers).skipped if "forward" in each.reason]


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.full = nn.Linear(3, 3)
        self.other = nn.Linear(3, 3)
        self.a = nn.Parameter(torch.zeros(2, 3))
        self.b = nn.Parameter(torch.zeros(3, 2))


class MergedBelow(Holder):
    """A low-rank part that is added to the weight of a layer that is never called."""

    def forward(self, x):
        return self.other(F.linear(x, self.full.weight + self.b @ self.a, self.full.bias))


class CosineHead(Holder):
    def forward(self, x):
        return F.linear(F.normalize(self.other(x)), F.normalize(self.full.weight))


class ByAProperty(Holder):
    @property
    def effective(self):
        return self.full.weight * self.a.mean()

    def forward(self, x):
        return F.linear(self.other(x), self.effective)


class OtherNameOfSelf(Holder):
    def forward(module, x):  # noqa: N805
        return F.linear(module.other(x), module.full.weight.sign())


class ByGetattr(Holder):
    def forward(self, x):
        return F.linear(self.other(x), getattr(self.full, "weight") + 1)  # noqa: B009


class ByALocalName(Holder):
    def forward(self, x):
        layer = self.full
        return F.linear(self.other(x), layer.weight.softmax(-1))


class ByAFunctionalCall(Holder):
    def forward(self, x):
        changed = {"weight": self.full.weight + self.b @ self.a}
        return torch.func.functional_call(self.full, changed, (self.other(x),))


@pytest.mark.parametrize(
    "cls",
    [
        *(MergedBelow, CosineHead, ByAProperty),
        *(OtherNameOfSelf, ByGetattr, ByALocalName, ByAFunctionalCall),
    ],
)
def test_a_layer_that_is_passed_by_for_other_values_is_skipped(cls):
    binding = bind(nn.Sequential(cls()))
    assert [weight.spec.name for weight in binding.weights] == ["0.other:kernel"]
    (reason,) = (each.reason for each in binding.skipped if each.name == "0.full:kernel")
    assert f"{cls.__name__} does not call it and touches its weight" in reason
    assert len(reason) < 300


class Stack(nn.Module):
    """Layers in containers; none is called."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
        self.parts = nn.ModuleDict({"one": nn.Linear(3, 3), "two": nn.Linear(3, 3)})
        self.block = nn.Sequential(nn.Module(), nn.ReLU())
        self.block[0].inner = nn.Linear(3, 3)

    def forward(self, x):
        for index, layer in enumerate(self.layers):
            x = F.linear(x, layer.weight - index) / len(self.layers)
        mean = sum(part.weight for part in self.parts.values())
        return F.linear(F.linear(x, mean), self.block[0].inner.weight.exp())


class StackAsItIs(Stack):
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        weights = torch.stack([part.weight for part in self.parts.values()])
        x = torch.einsum("bi,eoi->bo", x, weights)
        return F.linear(x, self.block[0].inner.weight)


@pytest.mark.parametrize(("cls", "count"), [(Stack, 0), (StackAsItIs, 5)])
def test_layers_in_containers_are_told_apart_by_their_paths(cls, count):
    binding = bind(nn.Sequential(nn.Linear(3, 3), cls()))
    assert len(binding.weights) == 1 + count
    assert sum("does not call it" in each.reason for each in binding.skipped) == 5 - count


class Penalized(Holder):
    """A layer that is called; its weight is looked at besides."""

    def forward(self, x):
        self.penalty = self.full.weight.abs().sum()
        return self.other(self.full(x))


class CalledElsewhere(Holder):
    def forward(self, x):
        self.penalty = self.full.weight.norm()
        return self.compute(x)

    def compute(self, x):
        return self.other(self.full(x.to(self.full.weight.dtype)))


class TiedOutput(Holder):
    def forward(self, x):
        return F.linear(self.other(x), self.full.weight)


class Fused(Holder):
    """Several projections in one product."""

    def forward(self, x):
        weight = torch.cat([self.full.weight, self.other.weight])
        return F.linear(x, weight, torch.cat([self.full.bias, self.other.bias]))


class InitializedOnly(Holder):
    def __init__(self):
        super().__init__()
        self.full.weight.data.mul_(0.5)

    def reset_parameters(self):
        nn.init.zeros_(self.full.weight)

    def forward(self, x):
        for layer in (self.full, self.other):
            x = layer(x)
        return x


class Queries(nn.Module):
    """As DETR: a table that is what the model computes on."""

    def __init__(self):
        super().__init__()
        self.full = nn.Embedding(4, 3)
        self.other = nn.Linear(3, 3)

    def forward(self, x):
        return self.other(x + self.full.weight.mean(0))


def test_a_table_that_a_model_computes_on_is_pruned():
    assert [weight.spec.layer for weight in bind(nn.Sequential(Queries())).weights] == [
        "0.full",
        "0.other",
    ]


@pytest.mark.parametrize("cls", [Penalized, CalledElsewhere, TiedOutput, Fused, InitializedOnly])
def test_a_layer_whose_weight_is_used_as_it_is_by_its_holder_is_pruned(cls):
    assert [weight.spec.name for weight in bind(nn.Sequential(cls())).weights] == [
        "0.full:kernel",
        "0.other:kernel",
    ]
