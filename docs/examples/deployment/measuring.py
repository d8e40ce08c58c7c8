"""What is measured of a trained network, form by form."""

from __future__ import annotations

import gzip
import lzma
import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import runtimes
from networks import NETWORKS
from training import Run, load
from variants import DENSE

import secateur

OWN = "own file"
PACKED = {
    "packed float": ("float", None),
    "packed int8": ("int8", None),
    "packed clustered, 4 bits": ("clustered", 4),
    "packed clustered, 3 bits": ("clustered", 3),
}
_SUFFIXES = {"litert": ".tflite", "onnx": ".onnx", "openvino": ".xml"}
EXPORTS = {
    f"{to} {quantize}": (to, quantize)
    for to in _SUFFIXES
    for quantize in ("none", "dynamic", "int8")
    if (to, quantize) != ("openvino", "dynamic")  # it is refused for every model
}
ETHOS = ("ethos-u55", "ethos-u85")
LUTS = "fpga, last matrix"
SPARSE = {f"PyTorch, {layout}": layout for layout in ("CSR", "BSR 4x1", "BSR 4x4")}
FORMS = (OWN, *PACKED, *EXPORTS, *ETHOS, *SPARSE, LUTS)
_CALIBRATED, _TIMED = 200, 100
"""How many samples give the ranges of activations, and how many a latency without labels."""
Figures = dict[str, Any]


def forms_of(run: Run) -> list[str]:
    """Return the forms in which a run is measured."""
    forms = [OWN, *PACKED, *EXPORTS, *ETHOS]
    if run.framework == "torch" and run.network != "lstm":
        forms += SPARSE
    return [*forms, LUTS] if run.network == "mlp" else forms


def measure(run: Run, form: str, folder: Path) -> Figures:
    """Return what one form of a network comes to, or why there is none.

    Args:
        run: The network.
        form: One of `FORMS`.
        folder: Where trained networks lie; written files go there, too.

    """
    try:
        return _how(form)(run, form, folder)
    except Exception as error:  # whatever a runtime raises becomes a row of the page
        words = " ".join(str(error).replace(f"{folder}{os.sep}", "").split())
        return {"refused": f"{type(error).__name__}: {words[:300]}"}


def _how(form: str) -> Callable[[Run, str, Path], Figures]:
    if form in PACKED:
        return _packed
    if form in EXPORTS:
        return _exported
    if form in ETHOS:
        return _cycles
    return _own if form == OWN else _luts if form == LUTS else _sparse


def _own(run: Run, form: str, folder: Path) -> Figures:
    sizes = secateur.sizes(run.file(folder))
    call = getattr(runtimes, run.framework)(_model(run, folder))
    answers = runtimes.answers(call, _samples(run))
    return {
        "bytes": sizes.raw,
        "gzip": sizes.gzip,
        "zstd": sizes.zstd,
        "xz": sizes.xz,
        "entropy": sizes.entropy,
        "milliseconds": answers.milliseconds,
        **_accuracy(run, answers.outputs.argmax(1), folder),
    }


def _packed(run: Run, form: str, folder: Path) -> Figures:
    path = _written(run, form, folder, ".packed")
    model, (values, bits) = _model(run, folder), PACKED[form]
    packed = secateur.pack(model, path, values, bits, overwrite=True, allow_larger=True)
    fresh = getattr(NETWORKS[run.network], run.framework)(run.seed + 1)
    secateur.load_packed(path, fresh)
    secateur.quantize_check(model, fresh).check()
    return {"bytes": packed.size, **_accuracy(run, _labels(run, fresh), folder)}


def _exported(run: Run, form: str, folder: Path) -> Figures:
    to, quantize = EXPORTS[form]
    path = _written(run, form, folder, _SUFFIXES[to])
    network = NETWORKS[run.network]
    samples, calibration = _samples(run)[:1], None
    if quantize == "int8":
        given = network.data().train_x if network.data else _noise(run, _CALIBRATED)
        given = network.inputs(run.framework, given[:_CALIBRATED])
        calibration = [given[i : i + 1] for i in range(len(given))]
    exported = secateur.export(
        _model(run, folder),
        path,
        to=to,
        quantize=quantize,
        inputs=samples,
        calibration=calibration,
        overwrite=True,
    )
    answers = runtimes.answers(getattr(runtimes, to)(path), _samples(run))
    return {
        **_compressed(b"".join(each.read_bytes() for each in exported.files)),
        "milliseconds": answers.milliseconds,
        **_accuracy(run, answers.outputs.argmax(1), folder),
    }


def _cycles(run: Run, form: str, folder: Path) -> Figures:
    path = _written(run, "litert int8", folder, ".tflite")
    if path.exists():
        found = secateur.estimate(form, path)
    else:
        found = secateur.estimate(form, _model(run, folder), inputs=_samples(run)[:1])
    return dict(found.figures)


def _luts(run: Run, form: str, folder: Path) -> Figures:
    model = _model(run, folder)
    if run.framework == "torch":
        matrix = model[-1].weight.detach().numpy()
    else:
        matrix = model.layers[-1].kernel.numpy().T
    return {"LUTs": secateur.estimate("fpga", {"last": matrix.copy()}).figures["LUTs"]}


def _sparse(run: Run, form: str, folder: Path) -> Figures:
    model, samples = _model(run, folder), _samples(run)[:_TIMED]
    dense = runtimes.answers(runtimes.torch(model), samples)
    found = runtimes.answers(runtimes.torch(runtimes.in_layout(model, SPARSE[form])), samples)
    if not np.allclose(dense.outputs, found.outputs, atol=1e-3):
        return {"refused": "it computes something else than the dense network"}
    return {"milliseconds": found.milliseconds, "dense milliseconds": dense.milliseconds}


def _compressed(content: bytes) -> Figures:
    compressed = {"gzip": len(gzip.compress(content, 6)), "xz": len(lzma.compress(content))}
    return {"bytes": len(content), **compressed}


def _written(run: Run, form: str, folder: Path, suffix: str) -> Path:
    (folder / "written").mkdir(exist_ok=True)
    word = form.replace(" ", "-").replace(",", "")
    return folder / "written" / f"{run.file(folder).stem}-{word}{suffix}"


@lru_cache(1)
def _model(run: Run, folder: Path) -> Any:
    return load(run, folder)


@lru_cache(1)
def _samples(run: Run) -> Any:
    """Return all samples to test on, as the network takes them; noise where there are none."""
    network = NETWORKS[run.network]
    given = network.data().test_x if network.data else _noise(run, _TIMED)
    return network.inputs(run.framework, given)


def _noise(run: Run, count: int) -> Any:
    shape = NETWORKS[run.network].shape
    return np.random.default_rng(0).normal(size=(count, *shape)).astype(np.float32)


def _labels(run: Run, model: Any) -> Any:
    """Return the class that a network gives each sample."""
    samples = _samples(run)
    if run.framework == "keras":
        return model.predict(samples, batch_size=500, verbose=0).argmax(1)
    import torch

    model.eval()
    with torch.inference_mode():
        parts = torch.from_numpy(samples).split(500)
        return np.concatenate([model(part).argmax(1).numpy() for part in parts])


def _accuracy(run: Run, labels: Any, folder: Path) -> Figures:
    """Return how many labels are right, and how many others than the dense network's."""
    data = NETWORKS[run.network].data
    if data is None:
        return {}
    right = labels == data().test_y
    found: Figures = {"right": int(right.sum()), "of": len(right)}
    dense = replace(run, variant=DENSE)
    if dense.file(folder).exists():
        was = _right_when_dense(dense, folder)
        found |= {"gained": int((right & ~was).sum()), "lost": int((was & ~right).sum())}
    return found


@lru_cache(2)
def _right_when_dense(dense: Run, folder: Path) -> Any:
    return _labels(dense, load(dense, folder)) == NETWORKS[dense.network].data().test_y
