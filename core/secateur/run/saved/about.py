"""What a file of a run says for those who check it later: the policy, and who made it."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from secateur.layout import Array
from secateur.run.plan import Plan
from secateur.version import __version__

ABOUT = "about"
"""The name of the array in a file; it is no part of a state that checkpoints hold."""


def about(plan: Plan, one_shot: bool = False) -> dict[str, Array]:
    """Return the array that a file of masks has beside its state: JSON in UTF-8, uint8.

    Args:
        plan: The plan of the run.
        one_shot: Whether the masks are those of the final sparsity, whatever the step.

    """
    content = {
        "policy": plan.policy.to_dict(),
        "fingerprint": plan.policy.fingerprint,
        "adapter": plan.adapter,
        "versions": versions(plan.adapter),
        "one_shot": one_shot,
    }
    return {ABOUT: np.frombuffer(json.dumps(content, sort_keys=True).encode(), np.uint8)}


def read_about(arrays: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `about` wrote; nothing for an older file, or for content of another form.

    Args:
        arrays: The arrays of a file.

    """
    stored = np.asarray(arrays.get(ABOUT, ()))
    if stored.dtype != np.uint8 or stored.ndim != 1:
        return {}
    try:
        content = json.loads(stored.tobytes())
    except (ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def versions(adapter: str) -> dict[str, str]:
    """Return the versions of what prunes here: secateur, NumPy, the framework, Python.

    Args:
        adapter: The name of the adapter, which is that of its framework.

    """
    found = {"secateur": __version__, "numpy": np.__version__, "python": platform.python_version()}
    framework = getattr(sys.modules.get(adapter), "__version__", None)
    return found if framework is None else {**found, adapter: str(framework)}
