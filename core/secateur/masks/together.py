"""Checks that fail on all workers when they fail on one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from secateur.errors import PluginError, SecateurError, WeightError
from secateur.workers import Workers


def checked_together(check: Callable[[], object], workers: Workers) -> None:
    """Run a check on every worker, and raise on all of them where it fails on one.

    Args:
        check: What is run; it must not talk to other workers.
        workers: The workers.

    Raises:
        WeightError: A value cannot be ranked, here or on another worker.
        PluginError: The criterion failed, here or on another worker.

    """
    mine: SecateurError | None = None
    try:
        check()
    except SecateurError as error:
        mine = error
    failed = np.array([isinstance(mine, WeightError), mine is not None], np.int64)
    unranked, unscored = workers.total(failed).tolist()
    if mine is not None:
        raise mine
    if unranked:
        raise WeightError(
            "another worker holds a NaN or an infinity, which its own error names; "
            "nothing was changed"
        )
    if unscored:
        raise PluginError(
            "the criterion failed on another worker, whose own error says why; nothing was changed"
        )
