"""A schedule of the user's own as a schedule of a policy."""

from __future__ import annotations

from typing import Any

import keras
from pydantic import PrivateAttr, model_validator

import secateur
from secateur.errors import PolicyError, shown
from secateur_keras.tfmot.schedules import PruningSchedule, from_config

_FAR = 10**9
"""A step at which a schedule without an attribute for its end has ended."""


class CalledSchedule(secateur.Schedule):
    """Calls a `PruningSchedule`: ``sparsity`` and ``updates_at`` are what it returns.

    A policy that holds it names its class and arguments, so it can be read where the class is
    defined; `to_policy` with ``total_steps=`` writes its values instead.

    Attributes:
        class_name: The name of the class.
        config: Its arguments.
        at_most: The highest sparsity that is asked for.

    Example:
        >>> from secateur_keras.tfmot.schedules import ConstantSparsity
        >>> called = CalledSchedule.of(ConstantSparsity(0.5, 10))
        >>> called.final, called.updates_at(10)
        (0.5, True)

    """

    kind = "tfmot"
    class_name: str
    config: dict[str, Any]
    at_most: secateur.Sparsity = 1.0
    begin_when: None = None
    _called: PruningSchedule | None = PrivateAttr(default=None)

    @classmethod
    def of(cls, schedule: PruningSchedule, at_most: float = 1.0) -> CalledSchedule:
        """Return the schedule of a policy that calls one of the toolkit's.

        Args:
            schedule: The schedule that is called.
            at_most: The highest sparsity that is asked for.

        Raises:
            PolicyError: It has no usable `get_config`.

        """
        table = schedule.get_config()
        if not isinstance(table, dict) or not {"class_name", "config"} <= table.keys():
            raise PolicyError(
                f"{type(schedule).__name__}.get_config() returned {shown(table)}; wanted "
                '{"class_name": ..., "config": {...}}'
            )
        called = cls.model_construct(
            class_name=str(table["class_name"]), config=dict(table["config"]), at_most=at_most
        )
        called._called = schedule  # the instance itself, whatever its class is called
        return called

    @model_validator(mode="after")
    def _is_defined(self) -> CalledSchedule:
        self.called  # noqa: B018  raises if the class is not defined
        return self

    @property
    def called(self) -> PruningSchedule:
        """The schedule that is called."""
        if self._called is None:
            self._called = from_config({"class_name": self.class_name, "config": self.config})
        return self._called

    @property
    def final(self) -> float:
        for name in ("final_sparsity", "target_sparsity"):
            value = getattr(self.called, name, None)
            if isinstance(value, (int, float)):
                return min(float(value), self.at_most)
        return self.sparsity(_FAR)

    def sparsity(self, step: int) -> float:
        return min(_number(self._call(step)[1]), self.at_most)

    def updates_at(self, step: int) -> bool:
        return bool(_number(self._call(step)[0]))

    def _call(self, step: int) -> tuple[Any, Any]:
        answer = self.called(_native(step))
        if not isinstance(answer, tuple) or len(answer) != 2:
            raise PolicyError(
                f"{self.class_name}({step}) returned {shown(answer)}; wanted whether masks are "
                "recomputed, and the sparsity"
            )
        return answer


def _native(step: int) -> Any:
    """Return a step as the toolkit gives it: a tensor of TensorFlow, elsewhere an int."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.init_scope():
            return tf.constant(step, tf.int64)
    return step


def _number(value: Any) -> float:
    """Return a bool or number of Python, NumPy or a framework; float32 as the decimal it shows."""
    if keras.ops.is_tensor(value) or isinstance(value, keras.Variable):
        value = keras.ops.convert_to_numpy(value)
    scalar = getattr(value, "item", None)
    return (
        float(str(value))
        if str(getattr(value, "dtype", "")) == "float32"
        else float(scalar() if callable(scalar) else value)
    )
