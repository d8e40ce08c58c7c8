"""`torch.nn.utils.prune`, on secateur's masks: change the import, and the code runs.

The parameter keeps its name, pruned values stay zero through every optimizer, and `to_policy`
shows the policy that the calls mean.  docs/how-to/from-torch-prune.md lists every difference.

>>> from torch import nn
>>> import secateur_torch.compat.prune as prune
>>> layer = prune.l1_unstructured(nn.Linear(8, 2), "weight", amount=0.5)
>>> list(layer.state_dict()), int((layer.weight == 0).sum())
(['weight', 'bias', 'weight_mask'], 8)
"""

from __future__ import annotations

from secateur_torch.compat.prune.functions import (
    custom_from_mask,
    identity,
    is_pruned,
    l1_unstructured,
    ln_structured,
    random_structured,
    random_unstructured,
    remove,
)
from secateur_torch.compat.prune.globally import global_unstructured
from secateur_torch.compat.prune.meaning import to_policy
from secateur_torch.compat.prune.method import BasePruningMethod, PruningContainer
from secateur_torch.compat.prune.methods import (
    CustomFromMask,
    Identity,
    L1Unstructured,
    LnStructured,
    RandomStructured,
    RandomUnstructured,
)

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
    "to_policy",
]
