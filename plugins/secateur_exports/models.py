"""A model as the exporters see it: flat inputs, flat outputs, and where its graph comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from secateur import ExportError, ExportSource
from secateur.layout import Array


class Model(ABC):
    """A model that can be run, with the inputs that it is compared on.

    Attributes:
        names: The names of its inputs.
        inputs: One batch of arrays, in the order of `names`.
        outputs: The names of the outputs of the last run, where they have some.
        batch: How many samples a file of fixed shapes takes at once; None where the whole of
            `inputs` fixes its shapes.

    """

    names: Sequence[str]
    inputs: list[Array]
    outputs: Sequence[str] = ()
    batch: int | None = None

    @abstractmethod
    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs on a batch, flat, for inference."""

    @abstractmethod
    def flat(self, given: Any) -> list[Array]:
        """Return a batch as a user gives it, in the order of `names`."""

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Set the model to inference for a while; afterwards everything is as it was."""
        yield


def calibration_batches(source: ExportSource, model: Model) -> list[list[Array]]:
    """Return the batches that activations are calibrated on.

    Args:
        source: What is exported.
        model: Its model.

    Raises:
        ExportError: There is none.

    """
    given = source.calibration
    if given is None:
        return [model.inputs]
    batches = given if isinstance(given, list) else [given]
    if not batches:
        raise ExportError("calibration holds no batch")
    return [model.flat(each) for each in batches]
