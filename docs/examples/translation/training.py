"""Training in PyTorch: dense, then every variant from the same dense network, equally long.

Adam; its rate is level for the dense epochs, then it falls to 0 in a line, pruned or not.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from translation import corpus, pieces
from translation.shape import SMALL
from translation.torch_network import Translator
from translation.variants import BATCH, EPOCHS, LONGER, POLICIES, RATE, SHAPES, START

import secateur


@dataclass(frozen=True)
class Training:
    """How one network is trained.

    Attributes:
        variant: What is done to it, a name in POLICIES.
        seed: What its first weights and the order of its sentences are drawn from.
        quick: One epoch dense, and one more.

    """

    variant: str
    seed: int
    quick: bool = False

    def file(self, folder: Path) -> Path:
        """Return where its weights lie."""
        word = "".join(c if c.isalnum() else "-" for c in self.variant)
        name = f"{'quick-' if self.quick else ''}{word}-{self.seed}.safetensors"
        return folder / "translation" / name


def fresh(training: Training) -> Translator:
    """Return an untrained network."""
    torch.manual_seed(training.seed)
    return Translator(SHAPES.get(training.variant, SMALL))


def load(training: Training, folder: Path) -> Translator:
    """Return a trained network; what is not there is trained."""
    path = training.file(folder)
    if not path.exists():
        begin = time.process_time()
        model = _trained(training, folder)
        told = {"seconds": f"{time.process_time() - begin:.0f}", "corpus": corpus.load().digest}
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_stem(f"unfinished-{path.stem}")
        save_file(model.state_dict(), unfinished, told)
        unfinished.replace(path)
    model = fresh(training)
    model.load_state_dict(load_file(path))
    return model.eval()


def _trained(training: Training, folder: Path) -> Translator:
    dense, more = (1, 1) if training.quick else EPOCHS
    if training.variant == START:
        model = fresh(training)
        _fit(model, training, dense, None, falls=False)
    elif training.variant in SHAPES:
        model = fresh(training)
        _fit(model, training, dense, None, falls=False)
        _fit(model, training, more, None, falls=True)
    else:
        model = load(replace(training, variant=START), folder)
        epochs = LONGER.get(training.variant, more)
        _fit(model, training, epochs, POLICIES[training.variant], falls=True)
    return model


def _fit(model: Translator, training: Training, epochs: int, policy: Any, *, falls: bool) -> None:
    pairs = pieces.numbers(corpus.load().train)
    batches = list(_batches(pairs, epochs, training.seed))
    optimizer = torch.optim.Adam(model.parameters(), RATE, fused=True)
    rate = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 1 - step / len(batches) if falls else 1
    )
    pruner = policy and secateur.attach(
        model, policy, optimizer=optimizer, total_steps=len(batches)
    )
    model.train()
    for batch in batches:
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        rate.step()
    if pruner:
        pruner.detach()


def loss_of(model: Translator, batch: list[Any]) -> torch.Tensor:
    """Return the mean loss of a batch, for each piece of its English."""
    source, target = (
        torch.from_numpy(pieces.filled(list(side))) for side in zip(*batch, strict=True)
    )
    wanted = target[:, 1:].flatten()
    logits = model(source, target[:, :-1]).flatten(0, 1)
    return torch.nn.functional.cross_entropy(logits, wanted, ignore_index=pieces.BEYOND)


def _batches(pairs: list[Any], epochs: int, seed: int) -> Iterator[list[Any]]:
    """Yield batches of sentences that are about as long, in chance order."""
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        near = [len(pair[0]) + len(pair[1]) + generator.uniform(0, 4) for pair in pairs]
        order = np.argsort(near)
        starts = np.arange(0, len(pairs), BATCH)
        for start in generator.permutation(starts):
            yield [pairs[place] for place in order[start : start + BATCH]]


@torch.no_grad()
def translate(model: Translator, german: list[str], longest: int = 60) -> list[str]:
    """Return each sentence in English; the likeliest piece is taken each time."""
    sentences = [pieces.of_language(0).encode(sentence) for sentence in german]
    order = np.argsort([len(sentence) for sentence in sentences])
    found = [""] * len(sentences)
    for chosen in np.array_split(order, max(1, len(order) // 100)):
        source = torch.from_numpy(pieces.filled([sentences[place] for place in chosen]))
        memory, state = model.encode(source), None
        word = torch.full((len(chosen), 1), pieces.BEGIN)
        words = []
        for _ in range(longest):
            logits, state = model.decode(memory, source, word, state)
            word = logits.argmax(-1)
            words.append(word)
            if bool((torch.cat(words, 1) == pieces.END).any(1).all()):
                break
        for place, row in zip(chosen, torch.cat(words, 1).tolist(), strict=True):
            end = row.index(pieces.END) if pieces.END in row else len(row)
            found[place] = pieces.of_language(1).decode(row[:end])
    return found
