"""Names, tied and shared weights, and what is skipped or refused, with the reason."""

from __future__ import annotations

import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

import secateur
import secateur_torch.plugin
from secateur.errors import ModelError
from secateur_torch.binding import bind
from secateur_torch.weight import to_numpy
from tests.adapters.torch.foreign_tensors import Int8

CONSTANT = {"schedule": {"kind": "constant", "final_sparsity": 0.5}}


def names(model):
    return [weight.spec.name for weight in bind(model).weights]


def reasons(model):
    return {skipped.name: skipped.reason for skipped in bind(model).skipped}


def network():
    return nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(nn.Linear(3, 2)))


def test_names_are_module_paths_and_roles():
    assert names(network()) == ["0:kernel", "2.0:kernel"]


def test_a_single_layer_is_named_by_its_class():
    assert names(nn.Linear(3, 2)) == ["Linear:kernel"]


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.parametrize(
    "wrap",
    [torch.compile, nn.DataParallel, torch.optim.swa_utils.AveragedModel],
)
def test_wrappers_of_torch_do_not_show_in_names(wrap):
    model = network()
    model[2] = wrap(model[2])
    assert names(wrap(model)) == ["0:kernel", "2.0:kernel"]


def test_an_attribute_that_is_called_module_keeps_its_name():
    assert names(nn.ModuleDict({"module": nn.Linear(3, 2)})) == ["module:kernel"]


def test_tied_weights_are_one_weight_with_aliases():
    model = nn.ModuleDict({"tokens": nn.Embedding(7, 3), "head": nn.Linear(3, 7, bias=False)})
    model["head"].weight = model["tokens"].weight
    (weight,) = bind(model).weights
    assert weight.spec.name == "tokens:embedding"
    assert weight.spec.aliases == ("head:kernel",)


def test_a_shared_layer_is_one_weight_with_aliases():
    layer = nn.Linear(3, 3)
    (weight,) = bind(nn.Sequential(layer, nn.ReLU(), layer)).weights
    assert (weight.spec.name, weight.spec.aliases) == ("0:kernel", ("2:kernel",))


def test_weights_of_one_layer_share_its_path_in_both_directions():
    binding = bind(nn.LSTM(2, 2, num_layers=2, bidirectional=True))
    assert {weight.spec.layer for weight in binding.weights} == {"LSTM.l0", "LSTM.l1"}


def test_a_lazy_layer_is_refused_until_it_has_seen_a_batch():
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(ModelError, match=r"0 \(LazyLinear\) has no weights yet.*Run one batch"):
        bind(model)
    model(torch.zeros(1, 5))
    assert names(model) == ["0:kernel"]


def test_unknown_layers_and_normalisation_are_listed_with_the_reason():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(3, 3))

    model = nn.Sequential(nn.Linear(3, 3), Scale(), nn.LayerNorm(3))
    assert names(model) == ["0:kernel"]
    assert "Scale" in reasons(model)["1"]
    assert "factor" in reasons(model)["1"]
    assert "secateur_layer_weights" in reasons(model)["1"]
    assert reasons(model)["2"] == "LayerNorm: parameters of normalization are never pruned"


def test_weight_norm_is_pruned_in_its_direction_and_ranked_by_the_real_weight():
    layer = parametrizations.weight_norm(nn.Linear(4, 3))
    with torch.no_grad():
        layer.parametrizations.weight.original0.mul_(torch.tensor([[-1.0], [5.0], [9.0]]))
    (weight,) = bind(layer).weights
    np.testing.assert_array_equal(weight.read(), layer.weight.detach().numpy())
    mask = np.zeros((3, 4), bool)
    mask[:, 1:3] = True
    binding = bind(layer)
    binding.apply({weight.spec.name: mask})
    assert (layer.weight.detach().numpy() != 0).tolist() == mask.tolist()


def test_spectral_norm_is_pruned_and_reading_it_changes_nothing():
    layer = parametrizations.spectral_norm(nn.Linear(4, 3)).train()
    before = {key: value.clone() for key, value in layer.state_dict().items()}
    binding = bind(layer)
    (weight,) = binding.weights
    weight.read()
    after = layer.state_dict()
    assert all(torch.equal(after[key], before[key]) for key in before)
    mask = np.zeros((3, 4), bool)
    mask[:, 1:3] = True
    binding.apply({weight.spec.name: mask})
    assert (layer.weight.detach().numpy() != 0).tolist() == mask.tolist()


@pytest.mark.filterwarnings("ignore:.*weight_norm.*deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: parametrizations.orthogonal(nn.Linear(4, 4)), "parametrized by Orthogonal"),
        (lambda: prune.l1_unstructured(nn.Linear(4, 4), "weight", 0.5), "prune.remove"),
        (lambda: nn.utils.weight_norm(nn.Linear(4, 4)), "torch.nn.utils.parametrizations"),
        (lambda: nn.utils.spectral_norm(nn.Linear(4, 4)), "torch.nn.utils.parametrizations"),
        (lambda: nn.Linear(4, 4, device="meta"), "meta device"),
        (lambda: nn.Linear(4, 4, dtype=torch.complex64), "complex64"),
        (lambda: nn.Linear(4, 4).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    ],
    ids=["orthogonal", "prune", "old weight_norm", "old spectral_norm", "meta", "complex", "fp8"],
)
def test_a_weight_that_cannot_hold_zeros_is_skipped_with_the_reason(layer, reason):
    model = nn.ModuleDict({"bad": layer(), "good": nn.Linear(2, 2)})
    assert names(model) == ["good:kernel"]
    assert reason in reasons(model)["bad:kernel"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantized_layers_are_skipped_with_the_reason():
    model = torch.ao.quantization.quantize_dynamic(network(), {nn.Linear}, inplace=False)
    assert names(model) == []
    assert reasons(model) == {
        "0": "Linear: quantized; prune before quantizing",
        "2.0": "Linear: quantized; prune before quantizing",
    }


def test_adapter_matches_modules_and_nothing_else():
    adapter = secateur_torch.plugin.TorchAdapter()
    assert adapter.matches(network())
    assert not adapter.matches({"fc": np.zeros((2, 2))})
    assert not adapter.matches(torch.zeros(2, 2))
    assert not adapter.matches(nn.Linear)


class Computed(nn.Linear):
    """A layer whose weight is a property."""

    def __init__(self):
        super().__init__(3, 3)
        self.raw = nn.Parameter(torch.ones(3, 3))
        del self._parameters["weight"]

    @property
    def weight(self):
        return self.raw * 2


def test_a_weight_that_is_no_parameter_is_skipped():
    model = nn.Sequential(Computed(), Computed(), nn.Linear(3, 3))
    assert names(model) == ["2:kernel"]
    assert "weight is not a parameter" in reasons(model)["0:kernel"]
    assert "not a prunable weight" in reasons(model)["0.raw"]


@pytest.mark.parametrize("change", [parametrizations.weight_norm, parametrizations.spectral_norm])
def test_a_layer_that_is_parametrized_later_is_refused(change):
    layer = nn.Linear(4, 4)
    pruner = secateur.attach(layer, CONSTANT)
    change(layer)
    with pytest.raises(ModelError, match=r"weight was a parameter when .*attach again"):
        pruner.step()


def test_a_layer_that_is_made_plain_later_is_refused():
    layer = parametrizations.weight_norm(nn.Linear(4, 4))
    pruner = secateur.attach(layer, CONSTANT)
    parametrize.remove_parametrizations(layer, "weight")
    with pytest.raises(ModelError, match="attach again"):
        pruner.step()


def test_parameters_beside_the_weight_of_a_known_layer_are_listed():
    class Adapted(nn.Linear):
        def __init__(self):
            super().__init__(4, 3)
            self.lora_a = nn.Parameter(torch.zeros(2, 4))

    assert names(Adapted()) == ["Adapted:kernel"]
    assert reasons(Adapted()) == {"Adapted.lora_a": "Adapted: not a prunable weight of its layer"}
    assert not reasons(nn.MultiheadAttention(4, 2, add_bias_kv=True))


def test_a_weight_of_another_shape_than_the_layer_says_is_skipped():
    layer = nn.LSTM(3, 5)
    layer.weight_hh_l0 = nn.Parameter(torch.ones(7, 5))
    assert names(layer) == ["LSTM:kernel"]
    assert "(7, 5) does not fit" in reasons(layer)["LSTM:recurrent"]


def test_a_layer_that_holds_itself_is_walked_once():
    layer = nn.Sequential(nn.Linear(3, 3))
    layer[0].parent = layer
    assert names(layer) == ["0:kernel"]


def test_parameters_that_share_their_memory_are_tied():
    model = nn.ModuleDict({"tokens": nn.Embedding(7, 3), "head": nn.Linear(3, 7, bias=False)})
    model["head"].weight = nn.Parameter(model["tokens"].weight.data)
    (weight,) = bind(model).weights
    assert weight.spec.aliases == ("head:kernel",)


def test_parameters_that_share_memory_in_another_shape_are_refused():
    model = nn.ModuleDict({"enc": nn.Linear(4, 8), "dec": nn.Linear(8, 4)})
    model["dec"].weight = nn.Parameter(model["enc"].weight.data.t())
    with pytest.raises(ModelError, match=r"enc:kernel .* dec:kernel .* same memory"):
        bind(model)


def test_weights_of_a_quantized_tensor_class_are_skipped():
    layer = nn.Linear(2, 2)
    layer.weight = nn.Parameter(Int8(torch.ones(2, 2, dtype=torch.int8)))
    assert "Int8; prune before quantizing" in reasons(layer)["Linear:kernel"]


def test_two_weights_of_one_name_are_refused(monkeypatch):
    class Linear(nn.Linear):
        def __init__(self):
            super().__init__(2, 2)
            self.Linear = nn.Linear(2, 2)

    with pytest.raises(ModelError, match="2 weights the name Linear:kernel"):
        secateur.plan(Linear(), CONSTANT)


def test_a_negative_view_of_memory_is_read_as_it_is():
    view = torch.complex(torch.zeros(2, 2), torch.ones(2, 2)).conj().imag
    assert view.is_neg()
    np.testing.assert_array_equal(to_numpy(view), -np.ones((2, 2), np.float32))


def test_what_is_left_dense_has_its_size_once():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones(3, 5))

    scale = Scale()
    model = nn.Sequential(
        nn.Linear(4, 4), nn.LayerNorm(4), scale, parametrizations.orthogonal(nn.Linear(2, 2)), scale
    )
    sizes = {skipped.name: skipped.size for skipped in bind(model).skipped}
    assert sizes == {"1": 8, "2": 15, "3:kernel": 4, "4": 0}


def test_all_parameters_are_counted_once():
    model = nn.ModuleDict({"tokens": nn.Embedding(7, 3), "head": nn.Linear(3, 7)})
    model["head"].weight = model["tokens"].weight
    assert bind(model).parameters == 7 * 3 + 7


def test_frozen_weights_are_marked():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3).requires_grad_(False))
    assert [weight.spec.trainable for weight in bind(model).weights] == [True, False]


def test_a_tied_head_stands_where_the_model_has_it():
    model = nn.ModuleDict(
        {"tokens": nn.Embedding(7, 3), "hidden": nn.Linear(3, 3), "head": nn.Linear(3, 7)}
    )
    model["head"].weight = model["tokens"].weight
    binding = bind(model)
    assert binding.layers == ("tokens", "hidden", "head")
    assert binding.weights[0].spec.alias_layers == ("head",)


def test_the_identity_of_a_weight_is_its_parameter_or_a_part_of_it():
    model = nn.ModuleDict({"attn": nn.MultiheadAttention(4, 2), "fc": nn.Linear(4, 4)})
    first = {weight.spec.name: weight.identity() for weight in bind(model).weights}
    again = {weight.spec.name: weight.identity() for weight in bind(model).weights}
    assert all(first[name] is again[name] for name in first)
    assert len(set(map(id, first.values()))) == len(first) == 5
    for identity in first.values():
        assert weakref.ref(identity)() is identity
    fc = first["fc:kernel"]
    model["fc"].weight = nn.Parameter(torch.ones(4, 4))
    assert bind(model).weights[-1].identity() is fc, "the slot counts"
    other = nn.Sequential(nn.Linear(4, 4))
    other[0].weight = model["fc"].weight
    assert bind(other).weights[0].identity() is fc, "and so does the parameter in it"
    other[0].weight = nn.Parameter(torch.ones(4, 4))
    assert bind(other).weights[0].identity() is not fc


def test_an_activation_with_a_slope_is_not_offered_to_plugins():
    assert reasons(nn.Sequential(nn.Linear(2, 2), nn.PReLU())) == {
        "1.weight": "PReLU: not a prunable weight of its layer"
    }


class OwnNorm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))


class Gain(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(3))
        self.beta = nn.Parameter(torch.ones(()))


def test_vectors_of_unknown_layers_are_not_offered_to_plugins():
    assert reasons(nn.ModuleDict({"norm": OwnNorm(), "gain": Gain(), "fc": nn.Linear(2, 2)})) == {
        "norm": "OwnNorm: parameters of normalization are never pruned",
        "gain": "Gain: not a prunable weight of its layer",
    }


def exported(model):
    return torch.export.export(model, (torch.ones(1, 4),))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (torch.jit.script, r"before torch\.jit\.script"),
        (lambda m: torch.jit.trace(m, torch.ones(1, 4)), r"before .* torch\.jit\.trace"),
        (lambda m: exported(m).module(), r"before torch\.export\.export"),
        (lambda m: torch.export.unflatten(exported(m)), r"before torch\.export\.export"),
        (exported, r"prune the module before torch\.export\.export"),
    ],
    ids=["scripted", "traced", "exported", "unflattened", "program"],
)
def test_a_model_that_became_a_graph_is_told_what_to_prune(make, advice):
    made = make(nn.Sequential(nn.Linear(4, 4), nn.ReLU()))
    with pytest.raises(ModelError, match=advice) as error:
        secateur.prune(made, CONSTANT)
    assert "plugin" not in str(error.value).replace("DISABLE_PLUGINS", "")
    if isinstance(made, nn.Module):
        inside = nn.ModuleDict({"graph": made, "fc": nn.Linear(2, 2)})
        assert names(inside) == ["fc:kernel"]
        assert "prune the model before" in reasons(inside)["graph"]
        assert {skipped.size for skipped in bind(inside).skipped} == {20}


def test_a_symbolic_trace_that_keeps_its_layers_is_pruned():
    assert names(torch.fx.symbolic_trace(network())) == ["0:kernel", "2.0:kernel"]


class Average:
    """An average that is no module, as older libraries have it."""

    def __init__(self, module):
        self.decay = 0.99
        self.module = module


class Slotted:
    __slots__ = ("_private", "network")

    def __init__(self, network):
        self.network = network


class Shadow:
    def __init__(self):
        self.shadow_params = [torch.ones(2)]


@pytest.mark.parametrize(
    ("model", "advice"),
    [
        (Average(network()), r"pass its \.module"),
        (Slotted(network()), r"pass its \.network"),
        (Shadow(), "copy them into a module"),
        (nn.Linear, r"pass a module, as Linear\(\.\.\.\)"),
        ([network(), network()], r"torch\.nn\.ModuleList"),
        (network().state_dict(), "state dict: pass the module itself"),
    ],
    ids=["average", "slots", "shadow", "class", "list", "state dict"],
)
def test_what_is_no_module_is_told_what_to_pass(model, advice):
    with pytest.raises(ModelError, match=advice):
        secateur.plan(model, CONSTANT)
