"""Spoken digits: two LSTM layers, at 50, 80 and 90 %; a threshold per gate and for the whole."""

from __future__ import annotations

from collections.abc import Mapping

import samples
from networks import LSTM
from pages import Aim
from policies import DENSE, Policy, at_once, gradual, percent, rows_at
from training import Recipe

from tasks.classifier import Classifier

_SPARSITIES = (0.5, 0.8, 0.9)
_FREQUENCY = 20
_TEXT = """The network has two LSTM layers of 128 and a dense layer of 10: {weights:,} weights.
Every kernel and recurrent kernel is pruned, biases never. 3,000 recordings of ten digits by six
speakers, as 13 cepstral coefficients, four frames averaged into one; 2,000 are trained on, 400 are
kept for choosing hyperparameters, and 600 give the figures, in percent: one recording is 0.17
points. A run is {epochs} epochs in batches of {batch}, Adam, whose rate falls from {rate} to 0 in a
line. **Every run is as long as the dense one, and starts from the same weights in Keras and in
PyTorch, with the same recordings in the same order.**

{rows}
- *gradual, per weight*: the same, but each kernel has a threshold of its own, which its four gates
  share, so that all kernels become as sparse. TFMOT makes the same; `torch.nn.utils.prune` is not
  for LSTM layers.
- *gradual, per gate*: the same, but each gate of a kernel has a threshold of its own, so that all
  gates become as sparse."""


def _rows(frequency: int) -> Mapping[str, Policy | float | None]:
    found: dict[str, Policy | float | None] = {DENSE: None}
    for sparsity in _SPARSITIES:
        word, plain = percent(sparsity), gradual(sparsity, frequency)
        recurrent = {"match": {"kind": "rnn"}, "criterion": "per_gate"}
        found |= rows_at(sparsity, frequency, distribution="global")
        found[f"gradual, per weight, {word}"] = plain
        found[f"gradual, per gate, {word}"] = {**plain, "rules": [recurrent, {"match": {}}]}
    return found


CLASSIFIER = Classifier(
    "speech",
    "Spoken digits, two LSTM layers",
    _TEXT,
    LSTM,
    samples.spoken_digits,
    recipe=Recipe(8, 25, 4e-3),
    quick=Recipe(2, 25, 4e-3),
    few=samples.spoken_digits,
    quick_part=(2_000, 600),
    rows=_rows,
    headlines=(DENSE, "gradual, 80 %", "gradual, 90 %"),
    quick_rows=(DENSE, "gradual, 90 %"),
    at_once=lambda sparsity: at_once(sparsity, 0, distribution="global"),
    sparsities=_SPARSITIES,
    tried={f"dense, rate {rate}": (None, {"rate": rate}) for rate in (2e-3, 4e-3, 8e-3)}
    | {
        f"gradual, 90 %, {name}": (gradual(0.9, _FREQUENCY, distribution=name), {})
        for name in ("uniform", "erk", "global")
    }
    | {"gradual, 90 %, 3 epochs": (gradual(0.9, _FREQUENCY), {"epochs": 3})},
    aims=(Aim("gradual, 80 %", 0.3), Aim("gradual, 90 %", 0.3)),
    learned="""Gradual pruning needs updates: see what was tried (the 3 epochs with each weight as
sparse as the others). With a threshold for each weight alone, the small kernel of the first layer
is pruned as much as the large ones.""",
    peers={"tfmot": [f"gradual, per weight, {percent(sparsity)}" for sparsity in _SPARSITIES]},
    frequency=(_FREQUENCY, 8),
)
TASK = CLASSIFIER.task()
