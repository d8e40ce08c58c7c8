"""What one update of the masks of a large network takes, and a digest of these masks."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import secateur


class Update(NamedTuple):
    """One update of all masks.

    Attributes:
        seconds: How much processor time it took, of all threads together.
        mebibytes: How much memory the process had at most beyond what it had before.
        masks: The masks.

    """

    seconds: float
    mebibytes: float
    masks: Mapping[str, Any]


def update(model: Any, policy: Any) -> Update:
    """Make the first update of the masks of a model whose policy prunes at step 1."""
    pruner = secateur.attach(model, policy)
    before = _lowered_peak()
    begin = time.process_time()
    pruner.step()
    seconds = time.process_time() - begin
    peak = _memory("VmHWM")
    masks = dict(pruner.masks)
    pruner.detach()
    return Update(seconds, (peak - before) / 1024, masks)


def digest(masks: Mapping[str, Any], order: list[str]) -> str:
    """Return the first digits of a SHA-256 over all bits of masks; equal masks have equal ones."""
    found = hashlib.sha256()
    for name in order:
        if name in masks:
            found.update(np.packbits(masks[name]).tobytes())
    return found.hexdigest()[:16]


def _lowered_peak() -> int:
    """Let the highest memory of this process be what it has now, in KiB; return that."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5), Linux
    return _memory("VmRSS")


def _memory(field: str) -> int:
    (found,) = re.findall(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    return int(found)
