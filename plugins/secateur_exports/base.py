"""What every exporter of this package does: check, convert in quiet, load, run."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from secateur import Exporter, ExportError, ExportSource, Reading, SecateurError, StoredTensor
from secateur.adapter import Checkpoint
from secateur.errors import in_words
from secateur.layout import Array
from secateur_exports.models import Model
from secateur_exports.open_model import open_model
from secateur_exports.quiet import quiet

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
KERAS, TORCH, PROGRAM = "keras", "torch", "torch-program"


class ModelExporter(Exporter):
    """An exporter of a model's graph.

    Attributes:
        extra: The extra of secateur that installs what it needs.
        packages: The modules that it needs, by adapter.
        runtime: The package of its runtime.
        bfloat16: Whether its runtime computes with such weights.

    """

    extra: ClassVar[str]
    packages: ClassVar[dict[str, tuple[str, ...]]]
    runtime: ClassVar[str]
    bfloat16: ClassVar[bool] = True

    def refusal(self, source: ExportSource) -> str | None:
        if isinstance(source.model, Checkpoint) or source.adapter not in self.packages:
            return (
                f"this {source.adapter} model holds weights and no graph; build the model in Keras "
                "or PyTorch, load the weights into it, and call "
                f"secateur.export(model, path, to={self.kind!r}) in Python; or export it once as a "
                ".pt2 program, to='torch-export', which holds its graph"
            )
        for name in self.packages[source.adapter]:
            if not installed(name):
                return f'this needs {name}: pip install "secateur[{self.extra}]"'
        if not self.bfloat16 and any(str(w.dtype) == "bfloat16" for w in source.weights.values()):
            return (
                f"{self.runtime} has no operations for bfloat16 weights; convert the model to "
                "float32 first, in PyTorch by model.float(): the zeros stay"
            )
        return self.combination(source)

    def combination(self, source: ExportSource) -> str | None:
        """Return why a framework and a quantization do not go together, or None."""
        return None

    def export(self, source: ExportSource, path: Path) -> Reading:
        model = open_model(source)
        with model.unchanged():
            with self._doing("running the model"):  # Keras exports only what was called once
                expected = self.expected(model)
            with self._doing("converting"):
                notes = self.convert(source, model, path)
        with self._doing("running the file"):
            outputs = self.run(path, model)
        with self._doing("reading the file"):
            tensors = self.tensors(path)
        return Reading(
            self.runtime, version(self.runtime), expected, outputs, tensors, tuple(notes)
        )

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """Keep the noise away, and shorten an error of another library to one line."""
        try:
            with quiet():
                yield
        except (SecateurError, OSError):
            raise
        except Exception as error:
            line = " ".join(_COLOURS.sub("", in_words(error, 2000)).split())[:300]
            raise ExportError(f"to={self.kind!r}: {what} failed: {line}") from error

    @abstractmethod
    def convert(self, source: ExportSource, model: Model, path: Path) -> Sequence[str]:
        """Write the file, and return what a user should know of it."""

    @abstractmethod
    def run(self, path: Path, model: Model) -> list[Array]:
        """Return the outputs of the file on the model's inputs."""

    def expected(self, model: Model) -> list[Array]:
        """Return the outputs of the model on the same inputs."""
        return model.run(model.inputs)

    @abstractmethod
    def tensors(self, path: Path) -> list[StoredTensor]:
        """Return every constant in the file."""


def installed(name: str) -> bool:
    """Return whether there is a package of that name; it is not imported.

    Args:
        name: The name by which it is imported.

    Example:
        >>> installed("numpy"), installed("nowhere.at.all")
        (True, False)

    """
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def backend_of_keras() -> str:
    """Return the backend of Keras, which is imported where there is a Keras model.

    Example:
        >>> backend_of_keras() in ("tensorflow", "jax", "torch")
        True

    """
    import keras

    return str(keras.backend.backend())
