"""The semantics of design section 6, written as plainly as they are read.

Slow, element by element, over Python numbers: what the masks must be.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from itertools import product
from math import frexp, inf, ldexp, prod, sqrt

import numpy as np


def kept(groups, sparsity):
    """The number of groups that stay."""
    exact = sparsity if isinstance(sparsity, Fraction) else Fraction(repr(float(sparsity)))
    return round(groups * (1 - exact))


def best(scores, keep):
    """Keep the highest scores; of equal ones, those that come first."""
    order = np.argsort([-float(score) for score in scores], kind="stable")
    mask = np.zeros(len(scores), bool)
    mask[order[:keep]] = True
    return mask


def magnitudes(weight):
    """The score of every element, canonical, as Python floats."""
    return [abs(float(value)) for value in weight.flat]


def unstructured(weight, sparsity):
    scores = magnitudes(weight)
    return best(scores, kept(len(scores), sparsity)).reshape(weight.shape)


def plane(shape, kind):
    return (1, 2) if kind == "rnn" else (0, 1)


def tiles(shape, kind, out, in_):
    """Every tile, in canonical order, as a list of its elements' positions in canonical order."""
    extents = [1] * len(shape)
    for axis, extent in zip(plane(shape, kind), (out, in_), strict=True):
        extents[axis] = extent
    grid = [-(-length // extent) for length, extent in zip(shape, extents, strict=True)]
    for corner in product(*map(range, grid)):
        spans = [
            range(place * extent, min((place + 1) * extent, length))
            for place, extent, length in zip(corner, extents, shape, strict=True)
        ]
        yield list(product(*spans))


def mean(scores):
    total = 0.0
    for score in scores:
        total += score
    return total / len(scores)


def total(scores):
    found = 0.0
    for score in scores:
        found += score
    return found


POOLINGS = {
    "avg": mean,
    "max": max,
    "min": min,
    "l1": total,
    "l2": lambda scores: norm(scores),
}


def block_scores(weight, kind, out, in_, pooling):
    pool = POOLINGS[pooling]
    return [
        pool([abs(float(weight[place])) for place in tile])
        for tile in tiles(weight.shape, kind, out, in_)
    ]


def spread(weight, sets, chosen):
    mask = np.zeros(weight.shape, bool)
    for tile, stays in zip(sets, chosen, strict=True):
        for place in tile:
            mask[place] = stays
    return mask


def block(weight, sparsity, out, in_, pooling="avg", kind="dense"):
    scores = block_scores(weight, kind, out, in_, pooling)
    chosen = best(scores, kept(len(scores), sparsity))
    return spread(weight, tiles(weight.shape, kind, out, in_), chosen)


def n_m(weight, keep, of, kind="dense"):
    mask = np.zeros(weight.shape, bool)
    for positions in tiles(weight.shape, kind, 1, of):
        chosen = best([abs(float(weight[place])) for place in positions], min(keep, len(positions)))
        for place, stays in zip(positions, chosen, strict=True):
            mask[place] = stays
    return mask


def channels(weight, axis, kind="dense"):
    """The positions of each slice, in canonical order."""
    along = plane(weight.shape, kind)[axis == "in"]
    found = [[] for _ in range(weight.shape[along])]
    for place in product(*map(range, weight.shape)):
        found[place[along]].append(place)
    return found


def norm(scores):
    """The root of the sum of squares, scaled by a power of two where the sum leaves the range."""

    def root(scale):
        total = 0.0
        for score in scores:
            total += (score * scale) * (score * scale)
        return total, sqrt(total) / scale

    total, found = root(1.0)
    if total == inf:
        return root(2.0**-540)[1]
    return root(2.0**580)[1] if total < 2.0**-960 else found


def channel(weight, sparsity, axis, kind="dense"):
    slices = channels(weight, axis, kind)
    scores = [norm([abs(float(weight[place])) for place in positions]) for positions in slices]
    return spread(weight, slices, best(scores, kept(len(scores), sparsity)))


def mix(number):
    """SplitMix64's finalizer."""
    number ^= number >> 30
    number = number * 0xBF58476D1CE4E5B9 % 2**64
    number ^= number >> 27
    number = number * 0x94D049BB133111EB % 2**64
    return number ^ number >> 31


HEAD = 4096


def digest(weight, length=None):
    """A number that depends on every bit of a weight's first elements, its dtype and its shape."""
    text = f"{weight.dtype.name} {tuple(map(int, weight.shape))}"
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    total = 0
    for index, value in enumerate(weight.ravel()[:length]):
        bits = int.from_bytes(value.astype(weight.dtype.newbyteorder("<")).tobytes(), "little")
        total += mix(mix((index * 0x9E3779B97F4A7C15 + key) % 2**64) ^ bits)
    return total % 2**64


def best_of_all(weights, scores, keep):
    """Keep the highest scores of all weights: by score, index, content, then number in the list."""
    digests = [(digest(weight, HEAD), digest(weight)) for weight in weights]
    ranked = sorted(
        (-float(score), index, digests[number], number)
        for number, each in enumerate(scores)
        for index, score in enumerate(each)
    )
    masks = [np.zeros(len(each), bool) for each in scores]
    for _, index, _, number in ranked[:keep]:
        masks[number][index] = True
    return masks


def shaped(weights, masks):
    return [mask.reshape(weight.shape) for mask, weight in zip(masks, weights, strict=True)]


def among_all(weights, scores, sparsity):
    keep = kept(sum(map(len, scores)), sparsity)
    return shaped(weights, best_of_all(weights, scores, keep))


def global_(weights, sparsity):
    return among_all(weights, [magnitudes(weight) for weight in weights], sparsity)


def lamp_scores(weight):
    scores = magnitudes(weight)
    largest = max(scores, default=0.0)
    if 0 < largest <= 2.0**-480 or largest >= 2.0**480:  # squares would leave the range
        scores = [ldexp(score, min(450 - frexp(largest)[1], 1023)) for score in scores]
    order = np.argsort([-score for score in scores], kind="stable")
    total, lamp = 0.0, [0.0] * len(scores)
    for place in order:
        square = scores[place] * scores[place]
        total += square
        lamp[place] = square / total if total > 0 else 0.0
    return lamp


def lamp(weights, sparsity):
    return among_all(weights, [lamp_scores(weight) for weight in weights], sparsity)


def erk_targets(shapes, sparsity):
    """Raise eps until the densities, capped at 1, meet the target; in exact fractions."""
    sizes = [prod(shape) for shape in shapes]
    wanted = sum(sizes) * (1 - Fraction(repr(float(sparsity))))
    raw = [
        Fraction(sum(shape), size) if size else Fraction(0)
        for shape, size in zip(shapes, sizes, strict=False)
    ]
    capped = [False] * len(shapes)
    while True:
        open_ = sum(r * n for r, n, cap in zip(raw, sizes, capped, strict=False) if not cap)
        left = wanted - sum(n for n, cap in zip(sizes, capped, strict=False) if cap)
        eps = left / open_ if open_ else Fraction(0)
        over = [
            not cap and n and eps * r > 1 for r, n, cap in zip(raw, sizes, capped, strict=False)
        ]
        if not any(over):
            break
        capped = [cap or new for cap, new in zip(capped, over, strict=False)]
    return [1 - (Fraction(1) if cap else eps * r) for r, cap in zip(raw, capped, strict=False)]


def erk(weights, sparsity):
    targets = erk_targets([weight.shape for weight in weights], sparsity)
    return [
        unstructured(weight, target) if weight.size else np.zeros(weight.shape, bool)
        for weight, target in zip(weights, targets, strict=True)
    ]
