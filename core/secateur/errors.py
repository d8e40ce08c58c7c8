"""The errors and warnings that secateur raises; every one derives from `SecateurError`."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SecateurError(Exception):
    """The base of every error that secateur raises on purpose."""


class PolicyError(SecateurError, ValueError):
    """A policy is not valid, or does not fit the model it is used on."""


class ModelError(SecateurError, TypeError):
    """A model cannot be pruned: of no known framework, not built, or with nothing to prune."""


class WeightError(SecateurError, ValueError):
    """A weight holds a value that cannot be ranked (NaN or infinity)."""


class PluginError(SecateurError, RuntimeError):
    """A plugin is broken, misspelt, duplicated or missing."""


class StateError(SecateurError, ValueError):
    """A saved pruning state does not fit the pruner that loads it, or a pruner was detached."""


class WorkerError(SecateurError, RuntimeError):
    """Another process of a run that holds a model in shards has failed."""


class PolicyWarning(UserWarning):
    """A policy is valid, and part of it probably does not do what was meant."""


class ScheduleWarning(UserWarning):
    """A schedule did not, or cannot, do what it says."""


class StateWarning(UserWarning):
    """A checkpoint was loaded without the pruning state in it, or weights without their zeros."""


class PluginWarning(UserWarning):
    """A third-party plugin was left out because it failed to load."""


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like another one, if any is."""
    return next(iter(difflib.get_close_matches(word[:80], known, n=1)), None)


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word and lists what exists.

    >>> nearest("polinomial", ["constant", "polynomial"])
    "did you mean 'polynomial'? There are: constant, polynomial"
    >>> nearest("x", [])
    'there are none'
    """
    names = sorted(known)
    if not names:
        return "there are none"
    close = closest(word, names)
    guess = f"did you mean {close!r}? " if close else ""
    listing = f"{'T' if guess else 't'}here are: {', '.join(names)}"
    return guess + listing
