"""The adapter: it recognises the models of one framework and binds them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from secateur.adapter.binding import Binding
from secateur.adapter.checkpoint import Checkpoint
from secateur.errors import ModelError


class Adapter(ABC):
    """Recognises the models of one framework and binds them.

    Attributes:
        name: The framework's name in plans, and in a policy's ``match.name`` tables.

    Example:
        >>> from secateur.numpy_adapter import NumpyAdapter
        >>> NumpyAdapter().matches({}), NumpyAdapter().name
        (True, 'numpy')

    """

    name: str

    @abstractmethod
    def matches(self, model: object) -> bool:
        """Return whether a model is one of this framework, without importing the framework.

        Args:
            model: Any object.

        """

    def hint(self, model: object) -> str | None:
        """Return how to make a model fit this adapter, or None without advice.

        Args:
            model: An object for which `matches` is false.

        """
        return None

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The suffixes of the files that `read_file` reads, for the command line."""
        return ()

    def read_file(self, path: Path) -> Any:
        """Return the model, or the `Checkpoint`, in a file; no code of the file is run.

        Args:
            path: A file with one of `suffixes`.

        Raises:
            ModelError: The framework is missing, or the file is damaged.

        """
        raise ModelError(f"{path}: the {self.name} adapter reads no files")

    def checkpoint(self, path: Path) -> Checkpoint:
        """Return the `Checkpoint` of a file; a pruned copy of it can be written.

        By default what `read_file` returns, if that is one.

        Args:
            path: A file with one of `suffixes`.

        Raises:
            ModelError: As `read_file`; or no such file can be written.

        """
        found = self.read_file(path)
        if isinstance(found, Checkpoint):
            return found
        raise ModelError(
            f"{path}: the {self.name} adapter does not write such files; prune the model in "
            "Python, by secateur.prune, and save it there"
        )

    def file_notes(self, path: Path) -> Sequence[str]:
        """Return what a file holds besides the model, such as the optimizer's moments, in words.

        Args:
            path: A file that `read_file` has read.

        """
        return ()

    @abstractmethod
    def bind(self, model: Any) -> Binding:
        """Return a model, bound: its weights are found, and nothing in it is changed.

        Args:
            model: A model for which `matches` is true.

        Raises:
            ModelError: The model cannot be bound yet; it is not built, for example.

        """
