"""The errors and warnings that secateur raises, and the words that their messages share."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from types import TracebackType

MOST_NAMES = 12
"""How many names a message lists at most."""


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


_OPPOSITES = (
    ({"begin", "start", "initial", "first"}, {"end", "stop", "final", "last"}),
    ({"min", "minimum"}, {"max", "maximum"}),
    ({"in", "input"}, {"out", "output"}),
)
_NEGATIONS = re.compile(r"(un|non[_-]?|dis)(?=.)")


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like another one, if any is.

    A word of the opposite meaning is never returned, however alike it is spelt.

    Args:
        word: What was written.
        known: What could have been meant.

    Example:
        >>> closest("unstructurd", ["unstructured"]), closest("structured", ["unstructured"])
        ('unstructured', None)

    """
    word = word[:80]
    near = difflib.get_close_matches(word, known, n=MOST_NAMES)
    return next((name for name in near if not _is_opposite(word, name)), None)


def _is_opposite(word: str, name: str) -> bool:
    tokens, others = set(word.lower().split("_")), set(name.lower().split("_"))
    for one, other in _OPPOSITES:
        if (tokens & one and others & other) or (tokens & other and others & one):
            return True
    pairs = [(word, _NEGATIONS.sub("", name, count=1)), (_NEGATIONS.sub("", word, count=1), name)]
    as_spelt = _likeness(word, name)
    return any(pair != (word, name) and _likeness(*pair) > as_spelt for pair in pairs)


def _likeness(word: str, name: str) -> float:
    return difflib.SequenceMatcher(None, word.lower(), name.lower()).ratio()


def nearest(word: str, known: Iterable[str]) -> str:
    """Return a hint that names the nearest known word and lists what exists.

    Args:
        word: What was given.
        known: The words that there are; a dozen of them is listed at most.

    Example:
        >>> nearest("polinomial", ["constant", "polynomial"])
        "did you mean 'polynomial'? There are: constant, polynomial"
        >>> nearest("x", [])
        'there are none'

    """
    names = sorted(known)
    if not names:
        return "there are none"
    close = closest(word, names)
    guess = f"did you mean {shown(close)}? " if close else ""
    return f"{guess}{'T' if guess else 't'}here are: {listed(names)}"


def listed(names: Iterable[str], most: int = MOST_NAMES) -> str:
    """Return names as a list for a message, of bounded length.

    Args:
        names: The names, in the order in which they are listed.
        most: How many of them are listed; the others are counted.

    Example:
        >>> listed(["a", "b", "c", "d"], most=2)
        'a, b and 2 more'

    """
    chosen = list(names)
    text = ", ".join(_printable(name, 80) for name in chosen[:most])
    return text if len(chosen) <= most else f"{text} and {len(chosen) - most:,} more"


def shown(value: object, length: int = 80) -> str:
    """Return a value as it is shown in a message: printable, and never long.

    Args:
        value: Anything, such as a key that a user wrote.
        length: How many characters of it are shown.

    Example:
        >>> shown("a" * 100, length=3), shown(10**5000)
        ("'aaa...'", 'an integer of about 5,000 digits')

    """
    if isinstance(value, str):
        return repr(value if len(value) <= length else f"{value[:length]}...")
    try:
        return _printable(repr(value), length)
    except Exception:  # whatever the class of the value raises
        if isinstance(value, int):
            return f"an integer of about {int(value.bit_length() * 0.30103):,} digits"
        return f"a {type(value).__name__}"


def in_words(error: BaseException, length: int = 1000) -> str:
    """Return an exception's type and message, whatever a third party's class does.

    Args:
        error: The exception.
        length: How many characters of its message are shown.

    Example:
        >>> in_words(OSError("disk full")), in_words(StopIteration())
        ('OSError: disk full', 'StopIteration')

    """
    name = type(error).__name__
    try:
        text = _printable(str(error), length)
    except Exception:  # its own __str__ fails
        return name
    return f"{name}: {text}" if text else name


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


def _printable(text: str, length: int) -> str:
    short = text if len(text) <= length else f"{text[:length]}..."
    return short.encode(errors="backslashreplace").decode()
