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

from secateur.version import __version__ as __version__

if TYPE_CHECKING:
    from secateur.adapter import Adapter as Adapter
    from secateur.adapter import Binding as Binding
    from secateur.adapter import LayerWeight as LayerWeight
    from secateur.adapter import Skipped as Skipped
    from secateur.adapter import Weight as Weight
    from secateur.adapter import WeightSpec as WeightSpec
    from secateur.api import attach as attach
    from secateur.api import plan as plan
    from secateur.api import prune as prune
    from secateur.arrays.counts import keep_count as keep_count
    from secateur.compare.plans import plan_changes as plan_changes
    from secateur.compare.policies import Change as Change
    from secateur.compare.policies import policy_changes as policy_changes
    from secateur.compare.transfer import transfer as transfer
    from secateur.components.criteria import Criterion as Criterion
    from secateur.components.criteria import GradientMagnitude as GradientMagnitude
    from secateur.components.criteria import Magnitude as Magnitude
    from secateur.components.criteria import Random as Random
    from secateur.components.criteria import Regrowth as Regrowth
    from secateur.components.distributions import Distribution as Distribution
    from secateur.components.patterns import FixedPattern as FixedPattern
    from secateur.components.patterns import Pattern as Pattern
    from secateur.components.periodic import Gradual as Gradual
    from secateur.components.periodic import Periodic as Periodic
    from secateur.components.schedule import Schedule as Schedule
    from secateur.components.values import EndStep as EndStep
    from secateur.components.values import Sparsity as Sparsity
    from secateur.components.values import Step as Step
    from secateur.errors import ExportError as ExportError
    from secateur.errors import ModelError as ModelError
    from secateur.errors import PluginError as PluginError
    from secateur.errors import PluginWarning as PluginWarning
    from secateur.errors import PolicyError as PolicyError
    from secateur.errors import PolicyWarning as PolicyWarning
    from secateur.errors import RecordingError as RecordingError
    from secateur.errors import ScheduleWarning as ScheduleWarning
    from secateur.errors import SecateurError as SecateurError
    from secateur.errors import StateError as StateError
    from secateur.errors import StateWarning as StateWarning
    from secateur.errors import TargetError as TargetError
    from secateur.errors import WeightError as WeightError
    from secateur.errors import WorkerError as WorkerError
    from secateur.exports.export import export as export
    from secateur.exports.exported import Exported as Exported
    from secateur.exports.exported import ExportedWeight as ExportedWeight
    from secateur.files import atomically as atomically
    from secateur.files import write_atomically as write_atomically
    from secateur.hooks.at_work import Observer as Observer
    from secateur.hooks.at_work import layer_weights as layer_weights
    from secateur.hooks.events import MasksUpdated as MasksUpdated
    from secateur.hooks.events import ObservedRun as ObservedRun
    from secateur.hooks.events import ObservedWeight as ObservedWeight
    from secateur.hooks.exporter import Exporter as Exporter
    from secateur.hooks.exporter import ExportSource as ExportSource
    from secateur.hooks.exporter import Reading as Reading
    from secateur.hooks.exporter import StoredTensor as StoredTensor
    from secateur.hooks.hookspecs import hookimpl as hookimpl
    from secateur.hooks.registry import register as register
    from secateur.hooks.registry import unregister as unregister
    from secateur.kinds import Kind as Kind
    from secateur.kinds import kind_named as kind_named
    from secateur.layout import Layout as Layout
    from secateur.numpy_adapter import NumpyAdapter as NumpyAdapter
    from secateur.packing.sizes import Sizes as Sizes
    from secateur.packing.sizes import WeightSizes as WeightSizes
    from secateur.policy.policy import Policy as Policy
    from secateur.policy.rule import Rule as Rule
    from secateur.recording.recorded import RecordedUpdate as RecordedUpdate
    from secateur.recording.recorded import RecordedWeight as RecordedWeight
    from secateur.recording.recorder import Recorder as Recorder
    from secateur.recording.recording import Recording as Recording
    from secateur.review.check import check as check
    from secateur.review.explain import explain as explain
    from secateur.review.explanation import ExplainedWeight as ExplainedWeight
    from secateur.review.explanation import Explanation as Explanation
    from secateur.review.explanation import RuleVerdict as RuleVerdict
    from secateur.review.explanation import Setting as Setting
    from secateur.review.findings import Check as Check
    from secateur.review.findings import CheckedModel as CheckedModel
    from secateur.review.findings import Finding as Finding
    from secateur.run.plan import Plan as Plan
    from secateur.run.pruner import Pruner as Pruner
    from secateur.run.report import Report as Report
    from secateur.selection.context import Context as Context
    from secateur.selection.groups import Pooled as Pooled
    from secateur.selection.groups import RankedGroups as RankedGroups
    from secateur.selection.select import select as select
    from secateur.shipping.load import load_packed as load_packed
    from secateur.shipping.measure import sizes as sizes
    from secateur.shipping.pack import Packed as Packed
    from secateur.shipping.pack import PackedTensor as PackedTensor
    from secateur.shipping.pack import pack as pack
    from secateur.shipping.unpack import unpack as unpack
    from secateur.shipping.zeros import ZeroCheck as ZeroCheck
    from secateur.shipping.zeros import ZeroCount as ZeroCount
    from secateur.shipping.zeros import quantize_check as quantize_check
    from secateur.targets.estimate import Estimate as Estimate
    from secateur.targets.estimate import estimate as estimate
    from secateur.targets.judge import target as target
    from secateur.targets.report import TargetReport as TargetReport
    from secateur.targets.report import TargetWeight as TargetWeight
    from secateur.verification.outcome import Verification as Verification
    from secateur.verification.outcome import VerifiedWeight as VerifiedWeight
    from secateur.verification.verify import verify as verify

_NAMES_OF = {
    "adapter": (
        "Adapter",
        "Binding",
        "LayerWeight",
        "Skipped",
        "Weight",
        "WeightSpec",
    ),
    "api": (
        "attach",
        "plan",
        "prune",
    ),
    "arrays.counts": ("keep_count",),
    "compare.plans": ("plan_changes",),
    "compare.policies": (
        "Change",
        "policy_changes",
    ),
    "compare.transfer": ("transfer",),
    "components.criteria": (
        "Criterion",
        "GradientMagnitude",
        "Magnitude",
        "Random",
        "Regrowth",
    ),
    "components.distributions": ("Distribution",),
    "components.patterns": (
        "FixedPattern",
        "Pattern",
    ),
    "components.periodic": (
        "Gradual",
        "Periodic",
    ),
    "components.schedule": ("Schedule",),
    "components.values": (
        "EndStep",
        "Sparsity",
        "Step",
    ),
    "exports.export": ("export",),
    "exports.exported": (
        "Exported",
        "ExportedWeight",
    ),
    "files": (
        "atomically",
        "write_atomically",
    ),
    "errors": (
        "ExportError",
        "ModelError",
        "PluginError",
        "PluginWarning",
        "PolicyError",
        "PolicyWarning",
        "RecordingError",
        "ScheduleWarning",
        "SecateurError",
        "StateError",
        "StateWarning",
        "TargetError",
        "WeightError",
        "WorkerError",
    ),
    "hooks.at_work": (
        "Observer",
        "layer_weights",
    ),
    "hooks.events": (
        "MasksUpdated",
        "ObservedRun",
        "ObservedWeight",
    ),
    "hooks.exporter": (
        "ExportSource",
        "Exporter",
        "Reading",
        "StoredTensor",
    ),
    "hooks.hookspecs": ("hookimpl",),
    "hooks.registry": (
        "register",
        "unregister",
    ),
    "kinds": (
        "Kind",
        "kind_named",
    ),
    "layout": ("Layout",),
    "numpy_adapter": ("NumpyAdapter",),
    "packing.sizes": (
        "Sizes",
        "WeightSizes",
    ),
    "policy.policy": ("Policy",),
    "policy.rule": ("Rule",),
    "recording.recorded": ("RecordedUpdate", "RecordedWeight"),
    "recording.recorder": ("Recorder",),
    "recording.recording": ("Recording",),
    "review.check": ("check",),
    "review.explain": ("explain",),
    "review.findings": (
        "Check",
        "CheckedModel",
        "Finding",
    ),
    "review.explanation": (
        "ExplainedWeight",
        "Explanation",
        "RuleVerdict",
        "Setting",
    ),
    "run.plan": ("Plan",),
    "run.pruner": ("Pruner",),
    "run.report": ("Report",),
    "selection.context": ("Context",),
    "selection.groups": (
        "Pooled",
        "RankedGroups",
    ),
    "selection.select": ("select",),
    "shipping.load": ("load_packed",),
    "shipping.measure": ("sizes",),
    "shipping.pack": (
        "Packed",
        "PackedTensor",
        "pack",
    ),
    "shipping.unpack": ("unpack",),
    "shipping.zeros": (
        "ZeroCheck",
        "ZeroCount",
        "quantize_check",
    ),
    "targets.estimate": (
        "Estimate",
        "estimate",
    ),
    "targets.judge": ("target",),
    "targets.report": (
        "TargetReport",
        "TargetWeight",
    ),
    "verification.outcome": (
        "Verification",
        "VerifiedWeight",
    ),
    "verification.verify": ("verify",),
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names}
__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    # Names load on first use, so that `import secateur` alone costs next to nothing.
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'secateur' has no attribute {name!r}")
    value = getattr(import_module(f"secateur.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
