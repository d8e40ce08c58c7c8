"""Estimates of da4ml: the LUTs of matrices that are wired into an FPGA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from secateur.adapter import Weight
from secateur.errors import TargetError, listed
from secateur.layout import Array
from secateur.targets.eligible import why_not
from secateur.targets.target import Target

_MOST = 4096
"""How many weights of a matrix may stay: the tool's time grows with their square and more."""
_LEVELS = 127


def luts(target: Target, weights: Sequence[Weight]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return the LUTs of each weight that the target takes, and of all together.

    Args:
        target: The target, which says which weights are taken.
        weights: The weights of a model.

    Returns:
        The LUTs by name, and notes on what was left out.

    Raises:
        TargetError: No weight can be estimated.

    """
    found: dict[str, float] = {}
    large, other = [], []
    for weight in weights:
        name = weight.spec.name
        if all(why_not(use, weight.spec) for use in target.uses):
            other.append(name)
            continue
        matrix = _rounded(weight.read())
        if np.count_nonzero(matrix) > _MOST:
            large.append(name)
        else:
            found[name] = _solve(matrix)
    notes = []
    if large:
        notes.append(f"over {_MOST:,} weights stay, which takes too long: {listed(large, 8)}")
    if other:
        notes.append(f"not taken by {target.name}: {listed(other, 8)}")
    if not found:
        raise TargetError(f"no weight of this model can be estimated: {'; '.join(notes)}")
    return {"LUTs": sum(found.values()), **found}, tuple(notes)


def _rounded(values: Array) -> Array:
    """Return the matrix ``(everything that is added up, out)`` in whole numbers of 8 bits."""
    matrix = values.reshape(len(values), -1).T.astype(np.float64)
    largest = np.abs(matrix).max()
    return np.round(matrix / largest * _LEVELS) if largest else matrix


def _solve(matrix: Array) -> int:
    if not np.count_nonzero(matrix):
        return 0
    from da4ml import cmvm

    solver: Any = cmvm.solve
    # the quick search: within two per cent of the thorough one, in a seventh of its time
    return int(solver(matrix.astype(np.float32), search_all_decompose_dc=False).cost)
