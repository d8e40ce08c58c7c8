"""What MNIST and Fashion-MNIST have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from networks import CNN
from pages import Aim
from peers import PEERS
from policies import DENSE, Policy, at_once, blocks_at, gradual, percent, rows_at, two_of_four
from samples import Split
from training import Recipe

from tasks.classifier import Classifier

_TEXT = """The network has two convolutions, 5x5 with a stride of 2 (8 and 16 channels), and two
dense layers (256 and 10): {weights:,} weights. Every kernel is pruned, biases never. It is small,
so that the table can be made again in an hour. 55,000 images are trained on, 5,000 are kept for
choosing hyperparameters, and the 10,000 of the test set give the figures, in percent. A run is
{epochs} epochs in batches of {batch}, Adam, whose rate falls from {rate} to 0 in a line. **Every
run is as long as the dense one, and starts from the same weights in Keras and in PyTorch, with the
same images in the same order.**

{rows}
- *gradual, all layers alike*: every layer as sparse as the others, which is what TFMOT and
  `torch.nn.utils.prune` do with the same schedule, samples and initial weights.
- *1x2 blocks*, *4x1 blocks*: gradual, in blocks of outputs x inputs. *2:4*: one shot, half way."""
_GLOBAL = "global"
_FREQUENCY = 50
_SHORT = {"epochs": 3}
"""How long the trials of rates and distributions are."""


def images(
    name: str,
    title: str,
    split: Callable[[], Split],
    few: Callable[[], Split],
    sparsities: tuple[float, ...],
    blocks: bool,
    tries: bool,
    learned: str = "",
) -> Classifier:
    """Return a task on images of 28 x 28 in ten classes.

    Args:
        name: Its name.
        title: Its title.
        split: Loads the images.
        few: Loads those of short runs.
        sparsities: How sparse the networks become.
        blocks: Whether blocks and 2:4 are measured too.
        learned: What the figures say about the aims.
        tries: Whether hyperparameters are chosen on it; the others take those of MNIST.

    """

    def rows(frequency: int) -> Mapping[str, Policy | float | None]:
        found: dict[str, Policy | float | None] = {DENSE: None}
        for sparsity in sparsities:
            found |= rows_at(sparsity, frequency, distribution=_GLOBAL)
            found[_alike(sparsity)] = gradual(sparsity, frequency)
            if blocks:
                found |= blocks_at(sparsity, frequency, distribution=_GLOBAL)
        return found | ({"2:4": two_of_four()} if blocks else {})

    return Classifier(
        name,
        title,
        _TEXT,
        CNN,
        split,
        recipe=Recipe(6, 128, 4e-3),
        quick=Recipe(5, 50, 4e-3),
        few=few,
        quick_part=(3_600, 1_000),
        rows=rows,
        headlines=(DENSE, "gradual, 80 %", "gradual, 90 %"),
        quick_rows=(DENSE, *rows_at(0.9, 1)),
        at_once=lambda sparsity: at_once(sparsity, 0, distribution=_GLOBAL),
        sparsities=sparsities,
        tried=_tried() if tries else {},
        aims=(Aim("gradual, 80 %"), Aim("gradual, 90 %")),
        learned=learned,
        peers={peer: [_alike(s) for s in sparsities[:3]] for peer in PEERS},
        frequency=(_FREQUENCY, 10),
    )


def _alike(sparsity: float) -> str:
    return f"gradual, all layers alike, {percent(sparsity)}"


def _tried() -> dict[str, tuple[Policy | None, Mapping[str, object]]]:
    found: dict[str, tuple[Policy | None, Mapping[str, object]]] = {
        f"dense, rate {rate}": (None, {"rate": rate, **_SHORT}) for rate in (1e-3, 2e-3, 4e-3)
    }
    for sparsity in (0.9, 0.98):
        for distribution in ("uniform", "erk", _GLOBAL):
            policy = gradual(sparsity, _FREQUENCY, distribution=distribution)
            found[f"gradual, {percent(sparsity)}, {distribution}"] = policy, _SHORT
    policy = gradual(0.9, _FREQUENCY, distribution=_GLOBAL)
    for epochs in (3, 6):
        found[f"dense, {epochs} epochs"] = None, {"epochs": epochs}
        found[f"gradual, 90 %, global, {epochs} epochs"] = policy, {"epochs": epochs}
    return found
