"""Which weights are being pruned, and by which pruner: no weight by two of them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from secateur.adapter import Weight
from secateur.arrays.memory import byte_bounds, share_memory
from secateur.errors import ModelError

_claims: weakref.WeakKeyDictionary[object, tuple[Claim, ...]] = weakref.WeakKeyDictionary()
"""What each pruner claims; an entry dies with its pruner."""


@dataclass(frozen=True)
class Claim:
    """One weight that a pruner prunes, known by what holds its values.

    Attributes:
        name: The weight's name.
        part: Its kind and role: of one parameter that holds several weights, which it is.
        holder: A weak reference to what holds the values.
        bounds: The memory of an array, from the first byte to past the last; empty for others.

    """

    name: str
    part: tuple[str, str]
    holder: weakref.ref[object]
    bounds: tuple[int, int] = (0, 0)

    @classmethod
    def on(cls, weight: Weight) -> Claim:
        """Return the claim on a weight."""
        holder, spec = weight.identity(), weight.spec
        bounds = byte_bounds(holder) if isinstance(holder, np.ndarray) else (0, 0)
        return cls(spec.name, (spec.kind, spec.role), weakref.ref(holder), bounds)

    def conflicts(self, other: Claim) -> bool:
        """Return whether two claims are on the same values."""
        mine, others = self.holder(), other.holder()
        if mine is None or others is None:
            return False
        if isinstance(mine, np.ndarray) and isinstance(others, np.ndarray):
            is_near = self.bounds[0] < other.bounds[1] and other.bounds[0] < self.bounds[1]
            return is_near and share_memory(mine, others)
        # a packed parameter holds the query, key and value of one layer: these are three weights
        parts_differ = self.part[0] == other.part[0] and self.part[1] != other.part[1]
        return mine is others and not parts_differ


def claim(pruner: object, weights: Iterable[Weight]) -> None:
    """Claim weights for a pruner, until `drop` or until the pruner is gone.

    Raises:
        ModelError: Another pruner holds one of them; nothing is claimed then.

    """
    chosen = list(weights)
    check_free(chosen)
    _claims[pruner] = tuple(map(Claim.on, chosen))


def check_free(weights: Iterable[Weight]) -> None:
    """Check that no pruner prunes any of some weights.

    Raises:
        ModelError: A pruner does.

    """
    wanted = tuple(map(Claim.on, weights))
    if _first_conflict(wanted) is None:
        return
    gc.collect()  # the other pruner may be garbage already
    name = _first_conflict(wanted)
    if name is not None:
        raise ModelError(
            f"{name} is being pruned by another pruner, and two would undo each other; "
            "nothing was changed. Call detach() on that one first."
        )


def drop(pruner: object) -> None:
    """Let go of all that a pruner claims."""
    _claims.pop(pruner, None)


def _first_conflict(wanted: Iterable[Claim]) -> str | None:
    taken = [claim for claims in list(_claims.values()) for claim in claims]
    conflicts = (new.name for new in wanted for old in taken if new.conflicts(old))
    return next(conflicts, None)
