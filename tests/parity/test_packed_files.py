"""A packed file fills a model of its framework, or the twin in another one."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

import secateur
from secateur.packing.reader import PackedFile

keras = pytest.importorskip("keras")
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept:DeprecationWarning"
)
MOST = {"schedule": {"kind": "one_shot", "final_sparsity": 0.8}}
FORMS = [("float", None), ("int8", None), ("clustered", 3)]


class Net(nn.Module):
    """Layers whose weights lie in tensors in several ways, and state that is no weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 24)
        self.gru = nn.GRU(24, 24, batch_first=True)
        self.attention = nn.MultiheadAttention(24, 2, batch_first=True)
        self.norm = nn.BatchNorm1d(24)
        self.narrow = nn.Linear(24, 24, dtype=torch.bfloat16)
        self.up = nn.ConvTranspose1d(24, 12, 3, groups=2)
        self.head = nn.Linear(24, 50)
        self.head.weight = self.embed.weight

    def forward(self, tokens):
        x = self.gru(self.embed(tokens))[0]
        x = x + self.attention(x, x, x)[0]
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        x = x + self.narrow(x.to(torch.bfloat16)).float()
        return self.head(x), self.up(x.transpose(1, 2))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    net = Net()
    net(torch.randint(50, (4, 9)))  # moves the statistics of the normalization
    secateur.prune(net, MOST)
    return net.eval()


@pytest.mark.parametrize(("values", "bits"), FORMS)
def test_a_torch_model_is_filled_whole(net, tmp_path, values, bits):
    packed = secateur.pack(net, tmp_path / "net.packed", values, bits)
    fresh = Net().eval()
    secateur.load_packed(packed.path, fresh)
    tokens = torch.randint(50, (2, 7))
    if values == "float":
        assert all(torch.equal(a, b) for a, b in zip(net(tokens), fresh(tokens), strict=True))
    assert fresh.head.weight is fresh.embed.weight
    stored = {tensor.name: tensor.values for tensor in packed.tensors}
    assert "head.weight" not in stored
    assert stored["norm.running_mean"] == stored["gru.bias_ih_l0"] == "float"
    weights = ("gru.weight_hh_l0", "attention.in_proj_weight", "narrow.weight", "embed.weight")
    assert {stored[name] for name in weights} == {values}
    assert torch.equal(fresh.norm.running_var, net.norm.running_var)
    check = secateur.quantize_check(net, fresh)
    assert check.ok
    assert {count.name for count in check.weights} >= {"attention:query", "gru:recurrent"}


def test_the_file_of_a_state_dict_fills_the_model_too(net, tmp_path):
    moments = {"state": {0: {"exp_avg": torch.ones(100), "step": torch.tensor(3.0)}}}
    torch.save({"model": net.state_dict(), "opt": moments, "epoch": 3}, tmp_path / "net.pt")
    assert "404 bytes are no weights" in secateur.sizes(tmp_path / "net.pt").notes[1]
    packed = secateur.pack(tmp_path / "net.pt", tmp_path / "net.packed")
    fresh = torch.compile(Net().eval(), backend="eager")
    secateur.load_packed(packed.path, fresh)
    wanted, found = net.state_dict(), fresh._orig_mod.state_dict()
    assert all(torch.equal(found[name], wanted[name]) for name in wanted)
    loaded = secateur.load_packed(packed.path)
    assert loaded.keys() == wanted.keys()


def keras_twin():
    return keras.Sequential([
        keras.Input((8, 8, 3)),
        keras.layers.Conv2D(16, 3, activation="relu", name="conv"),
        keras.layers.Flatten(),
        keras.layers.Dense(20, name="fc"),
    ])  # fmt: skip


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(200, 16)
        self.head = nn.Linear(16, 200, bias=False)
        self.head.weight = self.tokens.weight


def test_a_tied_weight_of_a_file_is_counted_and_stored_once(tmp_path):
    net = Tied()
    secateur.prune(net, MOST)
    torch.save(net.state_dict(), tmp_path / "tied.pt")
    (row,) = secateur.sizes(tmp_path / "tied.pt").weights
    assert row.raw == net.tokens.weight.nbytes
    packed = secateur.pack(tmp_path / "tied.pt", tmp_path / "tied.packed")
    assert packed.raw == row.raw
    fresh, loose = Tied(), Tied()
    loose.head.weight = nn.Parameter(torch.zeros(200, 16))
    for other in (fresh, loose):
        secateur.load_packed(packed.path, other)
        assert torch.equal(other.head.weight, net.head.weight)
        assert torch.equal(other.tokens.weight, net.head.weight)
    assert secateur.quantize_check(tmp_path / "tied.pt", fresh).ok


class Twin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.fc = nn.Linear(576, 20)

    def forward(self, x):
        return self.fc(self.conv(x).relu().permute(0, 2, 3, 1).flatten(1))


def normalized_twins():
    """Return a Keras network with both kinds of normalization, and its twin in PyTorch."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([
        keras.Input((40,)),
        keras.layers.Dense(100, name="fc"),
        keras.layers.BatchNormalization(name="norm", epsilon=1e-5),
        keras.layers.LayerNormalization(name="rows", epsilon=1e-5),
        keras.layers.Dense(10, name="head"),
    ])  # fmt: skip
    random = np.random.default_rng(0)
    for layer in model.layers[1:3]:
        layer.set_weights([random.uniform(0.5, 2, each.shape) for each in layer.weights])
    layers = {
        "fc": nn.Linear(40, 100),
        "norm": nn.BatchNorm1d(100),
        "rows": nn.LayerNorm(100),
        "head": nn.Linear(100, 10),
    }
    return model, nn.Sequential(OrderedDict(layers)).eval()


def test_normalization_fills_across_frameworks_under_its_other_words(tmp_path):
    model, twin = normalized_twins()
    secateur.prune(model, MOST)
    filled = secateur.load_packed(secateur.pack(model, tmp_path / "keras.packed").path, twin)
    assert "norm.running_var" in filled
    assert "norm.num_batches_tracked" not in filled
    x = np.random.default_rng(1).normal(size=(8, 40)).astype(np.float32)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(twin(torch.from_numpy(x)).detach().numpy(), expected, atol=1e-5)

    fresh, _ = normalized_twins()
    torch.save(twin.state_dict(), tmp_path / "twin.pt")
    for source in (twin, tmp_path / "twin.pt"):
        secateur.pack(source, tmp_path / "torch.packed", overwrite=True)
        fresh.layers[1].set_weights([np.zeros(100)] * 4)
        secateur.load_packed(tmp_path / "torch.packed", fresh)
        np.testing.assert_allclose(fresh.predict(x, verbose=0), expected, atol=1e-5)

    twin.norm = nn.BatchNorm1d(100, affine=False)
    with pytest.raises(secateur.ModelError, match=r"norm\.gamma is in the file only"):
        secateur.load_packed(tmp_path / "keras.packed", twin)


@pytest.mark.parametrize(("values", "bits"), FORMS)
def test_twins_store_the_same_bytes_and_fill_each_other(tmp_path, values, bits):
    model, twin = keras_twin(), Twin()
    secateur.prune(model, MOST)
    in_keras = secateur.pack(model, tmp_path / "keras.packed", values, bits)
    fresh = keras_twin()
    secateur.load_packed(in_keras.path, fresh)
    secateur.load_packed(in_keras.path, twin)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    in_torch = twin(torch.from_numpy(x.transpose(0, 3, 1, 2).copy())).detach().numpy()
    np.testing.assert_allclose(in_torch, fresh.predict(x, verbose=0), atol=1e-5)
    if values != "float":
        return
    np.testing.assert_array_equal(fresh.predict(x, verbose=0), model.predict(x, verbose=0))
    again = PackedFile(secateur.pack(twin, tmp_path / "torch.packed").path)
    first = PackedFile(in_keras.path)
    for name, other in (("conv.kernel", "conv.weight"), ("fc.kernel", "fc.weight")):
        one, two = first.sections(name), again.sections(other)
        assert one.keys() == two.keys()
        assert all(np.array_equal(one[word], two[word]) for word in one)


def test_layers_that_keras_numbers_anew_are_found_by_their_order(tmp_path):
    def unnamed():
        layers = [keras.layers.Dense(20), keras.layers.Dense(20), keras.layers.Dense(20)]
        return keras.Sequential([keras.Input((20,)), *layers])

    model, fresh = unnamed(), unnamed()
    packed = secateur.pack(model, tmp_path / "m.packed", allow_larger=True)
    secateur.load_packed(packed.path, fresh)
    assert secateur.quantize_check(model, fresh).ok
    x = np.ones((1, 20))
    np.testing.assert_array_equal(model.predict(x, verbose=0), fresh.predict(x, verbose=0))


def test_a_keras_file_is_packed_without_the_moments_that_its_sizes_name(tmp_path):
    model = keras_twin()
    model.compile("adam", "mse")
    model.fit(np.zeros((2, 8, 8, 3)), np.zeros((2, 20)), verbose=0)
    secateur.prune(model, MOST)
    model.save(tmp_path / "m.keras")
    sizes = secateur.sizes(tmp_path / "m.keras")
    held = sum(variable.numpy().nbytes for variable in model.optimizer.variables)
    assert any(f"{held:,} of its" in note for note in sizes.notes)
    packed = secateur.pack(tmp_path / "m.keras", tmp_path / "m.packed")
    assert packed.raw == sum(variable.numpy().nbytes for variable in model.weights) < sizes.raw / 2
    report = secateur.prune(model, MOST)
    assert report.sizes.raw == packed.raw
