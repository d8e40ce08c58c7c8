"""The toolkit's schedules: a step's sparsity, and whether masks are recomputed at it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import keras
import numpy as np

import secateur
from secateur.errors import PolicyError, shown

Tensor = Any
FOREVER = -1


class PruningSchedule(ABC):
    """The base of schedules; subclass it for one of your own.

    A subclass has ``__call__(step)``, which returns whether masks are recomputed at that step and
    the sparsity, and `get_config`.  Both may be plain numbers, arrays or tensors.

    Example:
        >>> class Halves(PruningSchedule):
        ...     def __call__(self, step):
        ...         return step in (10, 20), 0.5 if step < 20 else 0.75
        ...
        ...     def get_config(self):
        ...         return {"class_name": "Halves", "config": {}}
        >>> Halves()(20)
        (True, 0.75)

    """

    @abstractmethod
    def __call__(self, step: Any) -> tuple[Any, Any]:
        """Return whether masks are recomputed at a step, and the sparsity.

        Args:
            step: The number of updates finished: a tensor on TensorFlow, else an int.

        """

    @abstractmethod
    def get_config(self) -> dict[str, Any]:
        """Return ``{"class_name": ..., "config": {...}}``, from which it can be made again."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the schedule of a configuration.

        Args:
            config: The entry ``config`` of what `get_config` returned.

        """
        return cls(**config)

    def _should_prune_in_step(
        self, step: Any, begin_step: Any, end_step: Any, frequency: Any
    ) -> Any:
        """Return whether masks are recomputed, as subclasses of the toolkit's class call it."""
        inside = begin_step <= step and (step <= end_step or end_step < 0)
        return bool(inside and (step - begin_step) % frequency == 0)

    def _validate_step(
        self, begin_step: int, end_step: int, frequency: int, allow_negative_1: bool
    ) -> None:
        """Check the steps, as subclasses of the toolkit's class call it.

        Raises:
            PolicyError: They do not fit each other.

        """
        if begin_step < 0:
            raise PolicyError(f"begin_step = {shown(begin_step)} should be >= 0")
        if end_step == FOREVER and not allow_negative_1:
            raise PolicyError("end_step cannot be -1: the sparsity needs a step to end at")
        if end_step != FOREVER and end_step < 0:
            raise PolicyError(f"end_step = {shown(end_step)} can be -1 or >= 0")
        if end_step != FOREVER and end_step < begin_step:
            raise PolicyError(
                f"begin_step = {begin_step} should be <= end_step = {end_step}, if that is not -1"
            )
        if frequency <= 0:
            raise PolicyError(f"frequency = {shown(frequency)} should be > 0")

    def _validate_sparsity(self, sparsity: float, variable_name: str) -> None:
        """Check a sparsity, as subclasses of the toolkit's class call it.

        Raises:
            PolicyError: It is not from 0 to below 1.

        """
        if not 0.0 <= sparsity < 1.0:
            raise PolicyError(f"{variable_name} = {shown(sparsity)} must be in range [0,1)")


class _BuiltIn(PruningSchedule):
    """A schedule that a policy of secateur has too."""

    @property
    @abstractmethod
    def table(self) -> dict[str, Any]:
        """The schedule as a policy holds it."""

    @cached_property
    def _schedule(self) -> secateur.Schedule:
        schedule = secateur.Policy.parse({"schedule": self.table}).schedule
        assert schedule is not None  # noqa: S101  it has just been given
        return schedule

    def sparsity_at(self, step: int) -> float:
        """Return the sparsity at a step, a number."""
        return self._schedule.sparsity(step)

    def __call__(self, step: Any) -> tuple[Tensor, Tensor]:
        """Return whether masks are recomputed at a step, and the sparsity, as tensors.

        Args:
            step: One step, or an array or a tensor of them.

        """
        steps = np.asarray(keras.ops.convert_to_numpy(step) if _is_tensor(step) else step)
        flat = [int(each) for each in steps.reshape(-1)]
        due = np.array([self._schedule.updates_at(max(each, 0)) and each >= 0 for each in flat])
        sparsity = np.array([self._schedule.sparsity(max(each, 0)) for each in flat])
        return (
            keras.ops.convert_to_tensor(due.reshape(steps.shape), dtype="bool"),
            keras.ops.convert_to_tensor(sparsity.reshape(steps.shape), dtype="float32"),
        )


class ConstantSparsity(_BuiltIn):
    """One sparsity, the masks recomputed every `frequency` steps.

    Args:
        target_sparsity: The sparsity, from 0 to below 1.
        begin_step: The first step at which masks are computed.
        end_step: The last one; -1 for no end.
        frequency: The steps between two updates of the masks.

    Raises:
        PolicyError: A value is out of its range; it is a ValueError.

    Example:
        >>> schedule = ConstantSparsity(0.5, begin_step=100)
        >>> [bool(schedule(step)[0]) for step in (99, 100, 200)]
        [False, True, True]

    """

    def __init__(
        self,
        target_sparsity: float,
        begin_step: int,
        end_step: int = FOREVER,
        frequency: int = 100,
    ) -> None:
        self.target_sparsity = fraction(target_sparsity, "target_sparsity")
        self.begin_step = whole(begin_step, "begin_step")
        self.end_step = whole(end_step, "end_step")
        self.frequency = whole(frequency, "frequency")
        self._validate_step(self.begin_step, self.end_step, self.frequency, True)
        self._validate_sparsity(self.target_sparsity, "target_sparsity")

    def get_config(self) -> dict[str, Any]:
        """Return the class name and the arguments."""
        names = ("target_sparsity", "begin_step", "end_step", "frequency")
        return _config(self, names)

    @property
    def table(self) -> dict[str, Any]:
        """The schedule as a policy holds it."""
        return {
            "kind": "constant",
            "final_sparsity": self.target_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
        }


class PolynomialDecay(_BuiltIn):
    """From one sparsity to another, fast at first and slower towards the end.

    ``final + (initial - final) * (1 - (step - begin) / (end - begin)) ** power``

    Args:
        initial_sparsity: The sparsity at `begin_step`, from 0 to below 1.
        final_sparsity: The sparsity from `end_step` on.
        begin_step: The first step at which masks are computed.
        end_step: The last one.
        power: The exponent, above 0.
        frequency: The steps between two updates of the masks.

    Raises:
        PolicyError: A value is out of its range; it is a ValueError.

    Example:
        >>> schedule = PolynomialDecay(0.0, 0.8, begin_step=0, end_step=200)
        >>> [round(float(schedule(step)[1]), 3) for step in (0, 100, 200)]
        [0.0, 0.7, 0.8]

    """

    def __init__(
        self,
        initial_sparsity: float,
        final_sparsity: float,
        begin_step: int,
        end_step: int,
        power: float = 3,
        frequency: int = 100,
    ) -> None:
        self.initial_sparsity = fraction(initial_sparsity, "initial_sparsity")
        self.final_sparsity = fraction(final_sparsity, "final_sparsity")
        self.power = power
        self.begin_step = whole(begin_step, "begin_step")
        self.end_step = whole(end_step, "end_step")
        self.frequency = whole(frequency, "frequency")
        self._validate_step(self.begin_step, self.end_step, self.frequency, False)
        self._validate_sparsity(self.initial_sparsity, "initial_sparsity")
        self._validate_sparsity(self.final_sparsity, "final_sparsity")
        if not isinstance(power, (int, float)) or not power > 0:
            raise PolicyError(f"power = {shown(power)} should be a number > 0")

    def get_config(self) -> dict[str, Any]:
        """Return the class name and the arguments."""
        names = (
            *("initial_sparsity", "final_sparsity", "power"),
            *("begin_step", "end_step", "frequency"),
        )
        return _config(self, names)

    @property
    def table(self) -> dict[str, Any]:
        """The schedule as a policy holds it."""
        return {
            "kind": "polynomial",
            "initial_sparsity": self.initial_sparsity,
            "final_sparsity": self.final_sparsity,
            "begin_step": self.begin_step,
            "end_step": self.end_step,
            "frequency": self.frequency,
            "power": float(self.power),
        }


def _config(schedule: PruningSchedule, names: tuple[str, ...]) -> dict[str, Any]:
    config = {name: getattr(schedule, name) for name in names}
    return {"class_name": type(schedule).__name__, "config": config}


def _is_tensor(value: Any) -> bool:
    return keras.ops.is_tensor(value) or isinstance(value, keras.Variable)


def whole(value: Any, name: str) -> int:
    """Return a whole number of Python, NumPy or a framework as an int.

    Args:
        value: The number.
        name: What messages call it.

    Raises:
        PolicyError: It is none.

    """
    try:
        number = float(value)
        if number.is_integer():
            return int(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise PolicyError(f"{name} = {shown(value)}: wanted a whole number of steps")


def fraction(value: Any, name: str) -> float:
    """Return a sparsity as the decimal that was written, also if NumPy holds it in float32.

    Args:
        value: The sparsity.
        name: What messages call it.

    Raises:
        PolicyError: It is no number.

    """
    try:
        return float(str(value)) if isinstance(value, np.floating) else float(value)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"{name} = {shown(value)}: wanted a number from 0 to below 1") from error


def from_config(table: Mapping[str, Any]) -> PruningSchedule:
    """Return the schedule of what `get_config` returned.

    A custom schedule is found where Keras looks for custom objects, or among the classes
    that the program has defined.

    Args:
        table: ``{"class_name": ..., "config": {...}}``.

    Raises:
        PolicyError: There is no such class.

    Example:
        >>> from_config(ConstantSparsity(0.5, 0).get_config()).target_sparsity
        0.5

    """
    try:
        name, config = table["class_name"], table["config"]
    except (TypeError, KeyError) as error:
        raise PolicyError(
            f'{shown(table)}: get_config() of a schedule returns {{"class_name", "config"}}'
        ) from error
    registered = keras.saving.get_registered_object(name)
    found = registered or {cls.__name__: cls for cls in _subclasses(PruningSchedule)}.get(name)
    if not isinstance(found, type) or not issubclass(found, PruningSchedule):
        raise PolicyError(
            f"no schedule {shown(name)} is defined: import the module with its class first, or "
            f"pass custom_objects={{{shown(name)}: ...}}"
        )
    return found.from_config(config)


def _subclasses(cls: type[Any]) -> list[type[Any]]:
    direct: list[type[Any]] = cls.__subclasses__()
    return [each for sub in direct for each in (sub, *_subclasses(sub))]
