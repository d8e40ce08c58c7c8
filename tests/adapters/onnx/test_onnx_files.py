"""ONNX files: weights are found by what the graph does with them, and pruned in their layout."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import secateur
from tests.command_line import run as run

POLICY = 'schedule = { kind = "one_shot", final_sparsity = 0.5 }\n'
SCOPES = "pkg.torch.onnx.name_scopes"
CHANCE = np.random.default_rng(0)


def made(*shape):
    return CHANCE.normal(size=shape).astype("f")


CANONICAL = {
    "stem:kernel": (made(4, 3, 3, 3), "conv"),
    "deep:kernel": (made(4, 1, 3, 3), "depthwise"),
    "up:kernel": (made(6, 4, 2, 2), "conv_transpose"),
    "fc:kernel": (made(5, 6), "dense"),
    "plain:kernel": (made(5, 6), "dense"),
    "hidden.inner:kernel": (made(5, 6), "dense"),
    "older.0:kernel": (made(5, 6), "dense"),
    "table:embedding": (made(7, 6), "embedding"),
    "lstm.forward:kernel": (made(4, 5, 6), "rnn"),
    "lstm.backward:kernel": (made(4, 5, 6), "rnn"),
    "lstm.forward:recurrent": (made(4, 5, 5), "rnn"),
    "lstm.backward:recurrent": (made(4, 5, 5), "rnn"),
    "gru:kernel": (made(3, 5, 6), "rnn"),
    "gru:recurrent": (made(3, 5, 5), "rnn"),
    "attention:query": (made(8, 6), "attention"),
    "attention:key": (made(8, 6), "attention"),
    "attention:value": (made(8, 6), "attention"),
    "attention:output": (made(6, 8), "attention"),
}

OTHERS = {"fc.bias": made(5), "norm.weight": made(4), "scale": made(3, 3)}


def gates(values, order):
    """Return canonical gates as ONNX keeps them, one below the other."""
    return values[list(order)].reshape(-1, values.shape[-1])


def stored() -> dict[str, np.ndarray]:
    """Return the weights as the exporters of PyTorch and Keras lay them out, by their names."""
    w = {name: values for name, (values, _) in CANONICAL.items()}
    up = w["up:kernel"].reshape(2, 3, 4, 2, 2).transpose(0, 2, 1, 3, 4).reshape(8, 3, 2, 2)
    iofc, zrh = (0, 3, 1, 2), (1, 0, 2)
    both = [np.stack([gates(w[f"lstm.{d}:{role}"], iofc) for d in ("forward", "backward")])
            for role in ("kernel", "recurrent")]  # fmt: skip
    projections = {
        f"net_1/attention_1/{layer}_1/Reshape:0": w[f"attention:{role}"].T
        for layer, role in (("query", "query"), ("key", "key"), ("value", "value"),
                            ("attention_output", "output"))
    }  # fmt: skip
    return {
        "stem.weight": w["stem:kernel"],
        "deep.weight": w["deep:kernel"],
        "up.weight": up,
        "fc.weight": w["fc:kernel"],
        "net_1/plain_1/Cast/ReadVariableOp:0": w["plain:kernel"].T,
        "val_7": w["hidden.inner:kernel"].T,
        "onnx::MatMul_12": w["older.0:kernel"],
        "table.weight": w["table:embedding"],
        "W__1": both[0],
        "R__2": both[1],
        "val_8": gates(w["gru:kernel"], zrh)[None],
        "val_9": gates(w["gru:recurrent"], zrh)[None],
        **projections,
        **OTHERS,
    }


def nodes():
    n = helper.make_node
    rnn = {"hidden_size": 5}
    yield n("Conv", ["x", "stem.weight"], ["a"], "node_conv2d")
    yield n("Conv", ["a", "deep.weight"], ["b"], "node_conv2d_1", group=4)
    yield n("ConvTranspose", ["b", "up.weight"], ["c"], "node_convolution", group=2)
    yield n("Gather", ["table.weight", "i"], ["e"], "node_embedding")
    yield n("Gemm", ["e", "fc.weight", "fc.bias"], ["g"], "node_linear", transB=1)
    yield n("MatMul", ["e", "net_1/plain_1/Cast/ReadVariableOp:0"], ["h"], "net_1/plain_1/MatMul")
    scoped = n("MatMul", ["e", "val_7"], ["k"], "node_MatMul_6")
    scoped.metadata_props.add(key=SCOPES, value="['', 'hidden', 'hidden.inner', 'linear']")
    yield scoped
    yield n("Transpose", ["onnx::MatMul_12"], ["l"], "/older/0/Transpose", perm=[1, 0])
    yield n("MatMul", ["e", "l"], ["m"], "/older/0/MatMul")
    yield n("LSTM", ["e", "W__1", "R__2"], ["o"], "lstm", direction="bidirectional", **rnn)
    gru = n("GRU", ["e", "val_8", "val_9"], ["p"], "node_gru__1", **rnn)
    gru.metadata_props.add(key=SCOPES, value="['', 'gru', 'gru']")
    yield gru
    for layer in ("query", "key", "value", "attention_output"):
        name = f"net_1/attention_1/{layer}_1"
        yield n("MatMul", ["e", f"{name}/Reshape:0"], [layer], f"{name}/MatMul")
    yield n("Mul", ["e", "scale"], ["s"], "scaling")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY)
    save(tmp_path / "net.onnx")
    return tmp_path


def save(path, **options):
    values = [numpy_helper.from_array(np.array(v), name) for name, v in stored().items()]
    output = [helper.make_tensor_value_info("g", TensorProto.FLOAT, None)]
    graph = helper.make_graph(list(nodes()), "net", [], output, values)
    onnx.save(helper.make_model(graph), path, **options)


def initializers(path):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(path).graph.initializer}


def test_every_layout_of_the_exporters_is_pruned_as_the_canonical_weights_are(run, folder):
    wanted = {name: (values.copy(), kind) for name, (values, kind) in CANONICAL.items()}
    masks = secateur.prune(wanted, folder / "policy.toml").masks
    plan = run("plan", "policy.toml", "net.onnx", "--json").json
    assert {(w["name"], w["kind"], tuple(w["shape"])) for w in plan["weights"]} == {
        (name, kind, values.shape) for name, (values, kind) in CANONICAL.items()
    }
    assert "input 1 of Mul: not a kernel" in str(plan["skipped"])
    outcome = run("prune", "net.onnx", "policy.toml", "-o", "pruned.onnx", "--masks", "masks.npz")
    assert outcome.code == 0, outcome.err
    found = secateur.verify(folder / "pruned.onnx", folder / "policy.toml", masks=masks)
    assert found.holds, found.to_text(fold=False)
    assert found.zeros == sum(int((~mask).sum()) for mask in masks.values())
    before, after = onnx.load("net.onnx"), onnx.load("pruned.onnx")
    note = {each.key: each.value for each in after.metadata_props}
    assert note == {"secateur_policy": found.fingerprint}
    for name in ("fc.bias", "norm.weight", "scale"):
        assert (
            initializers("net.onnx")[name].tobytes() == initializers("pruned.onnx")[name].tobytes()
        )
    del after.metadata_props[:]
    for model in (before, after):
        for tensor in model.graph.initializer:
            tensor.raw_data = b""
    assert before == after


def test_twins_in_three_formats_differ_in_no_bit(run, folder):
    """ONNX, the mapping that NumPy saves, and safetensors, whose names are PyTorch's."""
    from safetensors.numpy import save_file

    names = ("stem:kernel", "deep:kernel", "fc:kernel", "hidden.inner:kernel")
    state = {n.replace(":kernel", ".weight"): CANONICAL[n][0].copy() for n in names}
    np.savez("net.npz", **state)
    save_file(state, "net.safetensors")
    for name in ("net.npz", "net.safetensors", "net.onnx"):
        assert run("prune", name, "policy.toml", "--in-place", "--json").code == 0
    outcome = run("diff", "net.npz", "net.safetensors", "net.onnx", "--json").json
    for name, changes in outcome.items():
        found = {change["name"]: change["differing"] for change in changes}
        kinds = names[1:2] if name == "net.onnx" else ()  # depthwise only where a graph says so
        found.pop(None, None)  # the weights of net.onnx alone
        assert all(count == 0 for each, count in found.items() if each not in kinds), name


def test_values_in_another_file_are_read_and_come_into_the_pruned_copy(run, folder):
    save(folder / "big.onnx", save_as_external_data=True, location="big.data", size_threshold=0)
    assert (folder / "big.data").stat().st_size > 1000
    assert run("inspect", "big.onnx").code == 0
    assert run("prune", "big.onnx", "policy.toml", "-o", "pruned.onnx").code == 0
    assert run("verify", "pruned.onnx", "--policy", "policy.toml").code == 0
    (folder / "big.data").unlink()
    again, whole = initializers("pruned.onnx"), initializers("net.onnx")
    assert all(again[n].tobytes() == whole[n].tobytes() for n in ("scale", "fc.bias"))
    outcome = run("inspect", "big.onnx")
    assert outcome.code == 1
    assert "no such file" in outcome.err


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link/secret.bin", ""])
def test_values_outside_the_folder_of_the_file_are_never_read(run, tmp_path, location):
    (tmp_path / "secret.bin").write_bytes(bytes(1 << 12))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path)
    tensor = numpy_helper.from_array(made(4, 6), "fc.weight")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    node = helper.make_node("MatMul", ["x", "fc.weight"], ["y"], "fc")
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    model = helper.make_model(helper.make_graph([node], "net", [], [output], [tensor]))
    (folder / "net.onnx").write_bytes(model.SerializeToString())
    outcome = run("inspect", folder / "net.onnx")
    assert outcome.code == 1
    assert "outside the folder" in outcome.err or "no such file" in outcome.err


def test_a_file_that_is_no_onnx_file_or_lies_about_its_sizes_is_refused(run, folder):
    (folder / "bad.onnx").write_bytes(b"\xff" * 64)
    model = onnx.load("net.onnx")
    model.graph.initializer[0].dims[0] = 1 << 40
    (folder / "lies.onnx").write_bytes(model.SerializeToString())
    for name, why in (("bad.onnx", "not a whole ONNX file"), ("lies.onnx", "cannot be read")):
        outcome = run("prune", name, "policy.toml", "-o", "out.onnx")
        assert (outcome.code, len(outcome.err.splitlines())) == (1, 1)
        assert why in outcome.err


@pytest.mark.slow
@pytest.mark.framework
def test_an_export_of_torch_is_known_by_the_names_of_its_modules(run, folder):
    import torch

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = torch.nn.Conv2d(3, 4, 3)
            self.body = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Linear(6, 5))

        def forward(self, x):
            return self.body(self.stem(x).flatten(2).transpose(1, 2))

    model = Network().eval()
    torch.save(model.state_dict(), "net.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own
        torch.onnx.export(model, (torch.ones(1, 3, 5, 5),), "t.onnx", dynamo=True, verbose=False)
    for name in ("net.pt", "t.onnx"):
        assert run("prune", name, "policy.toml", "--in-place", "--json").code == 0
    changes = run("diff", "net.pt", "t.onnx", "--json").json
    assert [(each["other"], each["differing"]) for each in changes] == [
        ("stem:kernel", 0),
        ("body.0:kernel", 0),
        ("body.1:kernel", 0),
    ]


def test_integers_are_no_parameters_unless_they_are_quantized_weights(run, tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY)
    held = {
        "w": made(6, 4),
        "q": np.ones((6, 4), np.int8),
        "scale": np.float32(0.1),
        "shape": np.array([1, 6]),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
        helper.make_node("Reshape", ["y", "shape"], ["flat"]),
        helper.make_node("DequantizeLinear", ["q", "scale"], ["k"]),
        helper.make_node("MatMul", ["flat", "k"], ["z"]),
    ]
    tensors = [numpy_helper.from_array(np.asarray(each), name) for name, each in held.items()]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [], [], tensors)), "m.onnx")
    shown = run("plan", "policy.toml", "m.onnx", "--all").out
    assert "q: int8 of rank 2: quantized; prune the weights before (24 parameters)" in shown
    assert "24 of 49 parameters are in layers left dense" in shown


def test_a_kernel_in_a_constant_node_is_listed_as_left_dense(run, tmp_path):
    (tmp_path / "policy.toml").write_text(POLICY)
    held = numpy_helper.from_array(made(6, 3), "inside")
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["y"], transB=1),
        helper.make_node("Constant", [], ["k"], value=held),
        helper.make_node("MatMul", ["y", "k"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [], [], initializer=[numpy_helper.from_array(made(6, 4), "w")]
    )
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    shown = run("plan", "policy.toml", "m.onnx").out
    assert "k: float32 of rank 2: in a Constant node; export it as an initializer" in shown
