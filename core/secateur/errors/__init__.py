"""The errors and warnings that secateur raises, and the words that their messages share."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from secateur.errors.words import closest, in_words, listed, nearest, shown

__all__ = [
    "ExportError",
    "ModelError",
    "PluginCode",
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
    "closest",
    "in_words",
    "listed",
    "nearest",
    "shown",
]


class SecateurError(Exception):
    """The base of every error that secateur raises on purpose.

    Example:
        >>> issubclass(PolicyError, SecateurError)
        True

    """


class PolicyError(SecateurError, ValueError):
    """A policy is not valid, or does not fit the model that it is used on.

    Example:
        >>> import secateur
        >>> secateur.Policy.parse({"schedule": {"kind": "one_shot"}})
        Traceback (most recent call last):
        secateur.errors.PolicyError: policy: schedule.final_sparsity: field required

    """


class ModelError(SecateurError, TypeError):
    """A model cannot be pruned: of no known framework, not built, or with nothing to prune.

    Example:
        >>> import secateur
        >>> secateur.prune({}, "cnn-80")
        Traceback (most recent call last):
        secateur.errors.ModelError: this numpy model has no weight that can be pruned

    """


class WeightError(SecateurError, ValueError):
    """A weight holds a value that cannot be ranked: NaN or infinity.

    Example:
        >>> import numpy, secateur
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> try:
        ...     secateur.prune({"fc": numpy.full((2, 2), numpy.nan)}, half)
        ... except WeightError as error:
        ...     print(str(error)[:23])
        fc: the value at (0, 0)

    """


class PluginError(SecateurError, RuntimeError):
    """A plugin is broken, misspelt, duplicated or missing.

    Example:
        >>> import secateur
        >>> secateur.unregister("sine")
        Traceback (most recent call last):
        secateur.errors.PluginError: no plugin 'sine' is registered: there are: ...

    """


class StateError(SecateurError, ValueError):
    """A saved pruning state does not fit the pruner that loads it, or a pruner was detached.

    Example:
        >>> import numpy, secateur
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> pruner = secateur.attach({"fc": numpy.ones((2, 2))}, half)
        >>> pruner.load("missing.npz")
        Traceback (most recent call last):
        secateur.errors.StateError: missing.npz: no such file

    """


class RecordingError(SecateurError, ValueError):
    """A file is no recording of a run, is damaged, or records another run than the one meant.

    Example:
        >>> import secateur
        >>> secateur.Recording.load("missing.npz")
        Traceback (most recent call last):
        secateur.errors.RecordingError: missing.npz: no such file

    """


class TargetError(SecateurError, ValueError):
    """A target is not known, its file is not valid, or nothing can estimate for it.

    Example:
        >>> import numpy, secateur
        >>> secateur.target("tensor-rt", {"fc": numpy.ones((2, 2))})
        Traceback (most recent call last):
        secateur.errors.TargetError: no target 'tensor-rt': did you mean 'tensorrt'? ...

    """


class ExportError(SecateurError, RuntimeError):
    """A model cannot be written in another form, or the written file is not what the model is.

    Example:
        >>> import numpy, secateur
        >>> secateur.export({"fc": numpy.eye(2)}, "fc.csv", to="csv", quantize="int8")
        Traceback (most recent call last):
        secateur.errors.ExportError: to="csv" takes quantize="none" only, not 'int8'

    """


class WorkerError(SecateurError, RuntimeError):
    """Another process of a run that shards a model has failed; its own error says why.

    Example:
        >>> issubclass(WorkerError, RuntimeError)
        True

    """


class PolicyWarning(UserWarning):
    """A policy is valid, and part of it probably does not do what was meant.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("error", PolicyWarning)  # refuse such a policy

    """


class ScheduleWarning(UserWarning):
    """A schedule did not reach, or cannot reach, its final sparsity.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("error", ScheduleWarning)  # stop the run instead

    """


class StateWarning(UserWarning):
    """A checkpoint was loaded without the pruning state in it, or weights without their zeros.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("error", StateWarning)  # stop the run instead

    """


class PluginWarning(UserWarning):
    """A plugin was left out because it failed to load, or a setting of plugins is not known.

    Example:
        >>> import warnings
        >>> warnings.simplefilter("ignore", PluginWarning)

    """


class PluginCode:
    """A block that runs a plugin's code: what it raises comes out as a PluginError.

    A class, not a generator: through a generator, StopIteration would end the block in silence.
    Our own errors pass as they are; so do KeyboardInterrupt and its like.

    Args:
        worded: Makes the whole message from the words for the exception.
        passing: Other exceptions that pass as they are.

    Example:
        >>> with PluginCode(lambda why: f"plugin 'sine': {why}"):
        ...     next(iter([]))
        Traceback (most recent call last):
        secateur.errors.PluginError: plugin 'sine': StopIteration

    """

    def __init__(self, worded: Callable[[str], str], *passing: type[Exception]) -> None:
        self._worded = worded
        self._passing: tuple[type[Exception], ...] = (SecateurError, *passing)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, self._passing):
            raise PluginError(self._worded(in_words(error))) from error
