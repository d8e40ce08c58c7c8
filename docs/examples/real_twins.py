"""Real twins: the three MTCNN face nets of two independent packages, pruned by one policy.

    mkdir -p .cache/twins && cd .cache/twins
    pip download --no-deps mtcnn==1.0.0 facenet-pytorch==2.6.0
    for wheel in *.whl; do unzip -q -o $wheel; done; pip install lz4 joblib; cd ../..
    python docs/examples/real_twins.py

`mtcnn` holds the nets in Keras (subclassed models), `facenet-pytorch` in PyTorch.  Prints how
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

SIZES = {"pnet": 12, "rnet": 24, "onet": 48}
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
    if not (folder / "mtcnn").is_dir() or not (folder / "facenet_pytorch").is_dir():
        raise SystemExit(f"the packages are not in {folder}; get them so:{__doc__}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    table = Table("net", "policy", title="MTCNN in Keras and in PyTorch, one policy")
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
    size = SIZES[net]
    images = np.random.default_rng(0).uniform(-1, 1, (8, size, size, 3)).astype(np.float32)
    with torch.no_grad():
        found = [y.numpy() for y in ours(torch.tensor(images.transpose(0, 3, 1, 2)))]
    channels_last = [np.moveaxis(y, 1, -1) for y in found]
    wanted = {np.asarray(y).shape[-1]: np.asarray(y) for y in theirs(images)}
    return max(float(np.abs(y - wanted[y.shape[-1]]).max()) for y in channels_last)


def keras_net(folder: Path, net: str) -> Any:
    """Return a net of the package mtcnn, with its weights."""
    import joblib

    module = _module(folder / "mtcnn" / "network" / f"{net}.py")
    model = getattr(module, f"{net[0].upper()}Net")()
    size = SIZES[net]
    model.build((None, size, size, 3))
    model.set_weights(joblib.load(folder / "mtcnn" / "assets" / "weights" / f"{net}.lz4"))
    return model


def torch_net(folder: Path, net: str) -> Any:
    """Return a net of the package facenet-pytorch, with its weights."""
    package = folder / "facenet_pytorch"
    source = (package / "models" / "mtcnn.py").read_text()
    # the nets alone: the rest of the file wants packages that are not needed here
    nets = source[source.index("class PNet") : source.index("class MTCNN")]
    space: dict[str, Any] = {"torch": torch, "nn": torch.nn, "os": os}
    exec(compile(nets, "mtcnn.py", "exec"), space)  # noqa: S102  # code of an installed package
    model = space[f"{net[0].upper()}Net"](pretrained=False)
    model.load_state_dict(torch.load(package / "data" / f"{net}.pt", weights_only=True))
    return model.eval()


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
