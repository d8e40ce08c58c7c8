"""What observers are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from secateur.layout import Array


@dataclass(frozen=True)
class MasksUpdated:
    """New masks were computed.

    `step` counts the optimizer updates finished; `masks` holds the weights whose masks are
    new at this step, read-only, canonical, True = kept; `targets` their target sparsity;
    `fingerprint` is the policy's.
    """

    step: int
    masks: Mapping[str, Array]
    targets: Mapping[str, float]
    fingerprint: str
