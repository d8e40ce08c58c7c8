"""Prune neural networks by one policy, with the same masks in every framework.

>>> import numpy as np
>>> import secateur
>>> policy = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
>>> print(secateur.prune({"fc": np.eye(2)}, policy).sparsity)
0.5
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur.adapter import (
        Adapter,
        Binding,
        LayerWeight,
        Skipped,
        Weight,
        WeightSpec,
    )
    from secateur.api import attach, plan, prune
    from secateur.component import EndStep, Sparsity, Step
    from secateur.criteria import Context, Criterion
    from secateur.distributions import Distribution
    from secateur.errors import (
        ModelError,
        PluginError,
        PluginWarning,
        PolicyError,
        ScheduleWarning,
        SecateurError,
        StateError,
        StateWarning,
        WeightError,
        WorkerError,
    )
    from secateur.events import MasksUpdated
    from secateur.exporters import Exporter
    from secateur.exporting import export
    from secateur.hookspecs import hookimpl
    from secateur.layout import Layout
    from secateur.patterns import FixedPattern, Pattern
    from secateur.planning import Plan
    from secateur.policy import Policy, Rule
    from secateur.pruner import Pruner
    from secateur.registry import register, unregister
    from secateur.report import Report
    from secateur.schedules import Gradual, Periodic, Schedule
    from secateur.twins import transfer

_HOME = {
    "secateur.adapter": ("Adapter", "Binding", "LayerWeight", "Skipped", "Weight", "WeightSpec"),
    "secateur.api": ("attach", "plan", "prune"),
    "secateur.component": ("EndStep", "Sparsity", "Step"),
    "secateur.criteria": ("Context", "Criterion"),
    "secateur.distributions": ("Distribution",),
    "secateur.errors": (
        "ModelError",
        "PluginError",
        "PluginWarning",
        "PolicyError",
        "ScheduleWarning",
        "SecateurError",
        "StateError",
        "StateWarning",
        "WeightError",
        "WorkerError",
    ),
    "secateur.events": ("MasksUpdated",),
    "secateur.exporters": ("Exporter",),
    "secateur.exporting": ("export",),
    "secateur.hookspecs": ("hookimpl",),
    "secateur.layout": ("Layout",),
    "secateur.patterns": ("FixedPattern", "Pattern"),
    "secateur.planning": ("Plan",),
    "secateur.policy": ("Policy", "Rule"),
    "secateur.pruner": ("Pruner",),
    "secateur.registry": ("register", "unregister"),
    "secateur.report": ("Report",),
    "secateur.schedules": ("Gradual", "Periodic", "Schedule"),
    "secateur.twins": ("transfer",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = [
    "Adapter",
    "Binding",
    "Context",
    "Criterion",
    "Distribution",
    "EndStep",
    "Exporter",
    "FixedPattern",
    "Gradual",
    "LayerWeight",
    "Layout",
    "MasksUpdated",
    "ModelError",
    "Pattern",
    "Periodic",
    "Plan",
    "PluginError",
    "PluginWarning",
    "Policy",
    "PolicyError",
    "Pruner",
    "Report",
    "Rule",
    "Schedule",
    "ScheduleWarning",
    "SecateurError",
    "Skipped",
    "Sparsity",
    "StateError",
    "StateWarning",
    "Step",
    "Weight",
    "WeightError",
    "WeightSpec",
    "WorkerError",
    "__version__",
    "attach",
    "export",
    "hookimpl",
    "plan",
    "prune",
    "register",
    "transfer",
    "unregister",
]
__version__ = "0.1.0.dev0"


def __getattr__(name: str) -> Any:
    # Names load on first use, so that `import secateur` alone costs next to nothing.
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'secateur' has no attribute {name!r}")
    value = getattr(import_module(_MODULE_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
