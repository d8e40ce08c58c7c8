"""A criterion for recurrent weights that gives each gate a threshold of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

import secateur


class PerGate(secateur.Criterion):
    """The rank of the magnitude within its gate, from 0 to 1: each gate becomes as sparse."""

    kind = "per_gate"

    def score(self, weight: Any, context: secateur.Context) -> Any:
        """Return a score for each weight of (gate, out, in)."""
        sizes = np.abs(weight).reshape(len(weight), -1)
        ranks = sizes.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
        return (ranks / ranks.shape[1]).reshape(weight.shape)


class _Plugin:
    @secateur.hookimpl
    def secateur_criteria(self) -> list[type[secateur.Criterion]]:
        return [PerGate]


secateur.register(_Plugin(), "per-gate")
