"""Files that extend others: what works on one machine only, and bases that contradict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from secateur.errors import shown
from secateur.policy.origins import TablePath
from secateur.policy.reading.files import Layer
from secateur.policy.reading.merging import COMPONENTS, rule_id
from secateur.review.findings import WARNING
from secateur.review.remarks import Remark


def layer_remarks(layers: Sequence[Layer]) -> Iterator[Remark]:
    """Yield what is to be said of the files that a policy is made of.

    Args:
        layers: The files, bases first.

    """
    for layer in layers:
        for reference in layer.references:
            if PurePosixPath(reference).is_absolute() or PureWindowsPath(reference).is_absolute():
                text = f"extends {shown(reference)}, a path of one machine; write it relative to "
                yield Remark(WARNING, ("extends",), f"{text}{layer.own.origins.name}")
    yield from _contradictions(layers)


def _contradictions(layers: Sequence[Layer]) -> Iterator[Remark]:
    """Yield each setting that two independent bases set differently."""
    last = layers[-1] if layers else None
    for number, later in enumerate(layers):
        for earlier in layers[:number]:
            name = earlier.own.origins.name
            if later is last or name in later.bases:
                continue
            mine, other = _settings(later), _settings(earlier)
            decided = _settings(last) if last else {}
            for path, value in mine.items():
                if path in other and other[path] != value and path not in decided:
                    words = ".".join(map(str, path))
                    text = f"{name} and {later.own.origins.name} both set {words}; the later wins"
                    yield Remark(WARNING, path if path[0] in COMPONENTS else ("rules",), text)


def _settings(layer: Layer) -> dict[TablePath, Any]:
    """Return the settings of a file by their paths; a rule is one setting, by its id."""
    found: dict[TablePath, Any] = {}
    for key in COMPONENTS:
        value = layer.own.table.get(key)
        if isinstance(value, Mapping):
            found |= {(key, str(inner)): each for inner, each in value.items()}
        elif value is not None:
            found[key, "kind"] = value
    rules = layer.own.table.get("rules", ())
    for rule in rules if isinstance(rules, (list, tuple)) else ():
        if (known := rule_id(rule)) is not None:
            found["rules", known] = rule
    return found
