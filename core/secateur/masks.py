"""From weights to masks: score, group, select, expand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from secateur.adapter import Weight
from secateur.errors import PluginError, SecateurError
from secateur.layout import Array
from secateur.patterns import FixedPattern
from secateur.policy import Method
from secateur.scores import Elements


def compute(
    method: Method,
    weights: Sequence[Weight],
    sparsity: float,
    step: int = 0,
    in_force: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """Return the mask of each weight of a rule, by name; changes nothing.

    in_force: the masks so far; what they prune stays pruned while the target grows.
    Masks are bool, canonical, True = kept.
    Raises WeightError for a value that is NaN or infinite, and PluginError, naming the
    plugin, the weights and the step, when a plugin's part fails.
    """
    held = in_force or {}
    names = [weight.spec.name for weight in weights]
    try:
        values = [weight.read() for weight in weights]
        # Keys of different widths do not compare; a wider dtype holds every value exactly.
        common = np.result_type(*values) if method.distribution.compares_weights else None
        scores = [
            Elements(
                weight.spec,
                value,
                method.criterion,
                step,
                gradient=weight.gradient,
                in_force=held.get(weight.spec.name),
                compare_as=common,
            )
            for weight, value in zip(weights, values, strict=True)
        ]
        pattern = method.pattern
        if isinstance(pattern, FixedPattern):
            return dict(zip(names, map(pattern.select, scores), strict=True))
        groups = [pattern.group(elements) for elements in scores]
        kept = method.distribution.select(groups, sparsity)
        return {
            weight.spec.name: pattern.expand(mask, weight.spec)
            for weight, mask in zip(weights, kept, strict=True)
        }
    except SecateurError:
        raise
    except Exception as error:  # whatever a plugin's code raises
        parts = (method.criterion, method.pattern, method.distribution)
        raise PluginError(
            f"step {step}, weights {', '.join(names)}: {type(error).__name__}: {error} "
            f"(criterion, pattern and distribution: {', '.join(p.kind for p in parts)}); "
            "nothing was changed"
        ) from error
