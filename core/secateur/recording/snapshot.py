"""A run as it stands, as a recording of one update."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from secateur.adapter import WeightSpec
from secateur.components.method import Method
from secateur.layout import Array
from secateur.recording import bits
from secateur.recording.file import BINS
from secateur.recording.plane import Plane
from secateur.recording.recorded import RecordedUpdate, RecordedWeight
from secateur.recording.recording import Recording
from secateur.version import __version__

_FRAMEWORKS = ("flax", "jax", "keras", "tensorflow", "torch")


@dataclass(frozen=True)
class PresentWeight:
    """One weight of a run as it stands.

    Attributes:
        spec: The weight.
        rule: The number of the rule that decides it, if one does.
        method: How it is pruned; None for one that stays dense.
        target: Its final sparsity; None where the scores decide it.
        mask: Its mask; None before there is one.
        kept: How many elements are not pruned.

    """

    spec: WeightSpec
    rule: int | None
    method: Method | None
    target: float | None
    mask: Array | None
    kept: int


def snapshot(
    adapter: str,
    fingerprint: str,
    policy: Mapping[str, Any],
    weights: Iterable[PresentWeight],
    step: int,
) -> Recording:
    """Return a run as it stands as a recording of one update; magnitudes are not known.

    Args:
        adapter: The name of the adapter.
        fingerprint: The fingerprint of the policy.
        policy: The policy, as `Policy.to_dict` returns it.
        weights: The weights, in the order of the model.
        step: The number of optimizer updates finished.

    """
    recorded, history = {}, []
    for each in weights:
        size = each.spec.size if each.mask is None else each.mask.size
        weight = recorded_weight(each.spec, size, each.rule, each.method, each.target)
        recorded[weight.name] = weight
        if each.mask is not None:
            history.append(_update(weight, each, each.mask, step))
    return Recording(adapter, fingerprint, policy, versions(), recorded, tuple(history))


def _update(weight: RecordedWeight, each: PresentWeight, mask: Array, step: int) -> RecordedUpdate:
    kept = min(each.kept, weight.size)
    sparsity = 1 - kept / weight.size if weight.size else 0.0
    return RecordedUpdate(
        step,
        weight.name,
        kept,
        sparsity,
        sparsity if weight.target is None else weight.target,
        threshold=None,
        largest=0.0,
        histogram=np.zeros(BINS, np.uint32),
        stored=bits.compressed(bits.packed(weight.plane.sample(mask)), None),
    )


def recorded_weight(
    spec: WeightSpec, size: int, rule: int | None, method: Method | None, target: float | None
) -> RecordedWeight:
    """Return what a recording holds of a weight.

    Args:
        spec: The weight.
        size: How many of its elements this process holds.
        rule: The number of the rule that decides it, if one does.
        method: How it is pruned; None for one that stays dense.
        target: Its final sparsity; None where the scores decide it.

    """
    return RecordedWeight(
        spec.name,
        spec.kind,
        spec.role,
        spec.dtype,
        spec.shape,
        rule,
        target,
        None if method is None else method.to_dict(),
        _tile(spec, method),
        Plane.of(spec, size),
    )


def _tile(spec: WeightSpec, method: Method | None) -> tuple[int | None, ...] | None:
    """Return how far a group of a weight's pattern reaches; None where groups are no tiles."""
    if method is None:
        return None
    try:
        return method.pattern.checked_extent(spec)
    except NotImplementedError:
        return None


def versions() -> Mapping[str, str]:
    """Return the versions of Python, secateur, NumPy and the frameworks that were imported."""
    found = {"python": platform.python_version(), "secateur": __version__, "numpy": np.__version__}
    for name in _FRAMEWORKS:
        if name in sys.modules:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "unknown"))
    return found
