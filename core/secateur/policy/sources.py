"""Where policy files are: in folders, in installed packages, and among the ready ones."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from importlib.resources import files
from os.path import normpath, realpath
from pathlib import Path, PurePosixPath
from typing import Protocol

from secateur.errors import PolicyError, nearest
from secateur.policy import ready

FORMATS = (".toml", ".yaml", ".yml", ".json")
LARGEST = 1 << 20
"""How many bytes a policy file may have."""
_PACKAGE = "package:"
_SAFE_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class Source(Protocol):
    """A place that one policy file is read from; `name` is for people, `key` for comparing."""

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    def read(self) -> bytes: ...
    def beside(self, relative: str) -> Source: ...


@dataclass(frozen=True)
class FileSource:
    """A file of a folder."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def key(self) -> str:
        return realpath(self.path)

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def read(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(LARGEST + 1)
        except FileNotFoundError:
            raise PolicyError(f"{self.name}: no such policy file") from None
        except OSError as error:
            raise PolicyError(f"{self.name}: cannot be read: {error.strerror}") from error

    def beside(self, relative: str) -> FileSource:
        """Return the file that a path relative to this one's folder means."""
        return FileSource(Path(normpath(self.path.parent / relative)))


@dataclass(frozen=True)
class PackageSource:
    """A file of an installed package, found and read without running the package's code."""

    package: str
    inside: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{_PACKAGE}{self.package}/{'/'.join(self.inside)}"

    key = name

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.inside[-1]).suffix

    def read(self) -> bytes:
        try:
            spec = importlib.util.find_spec(self.package)  # imports nothing: it has no dot
        except ValueError:  # __main__, or a module that is being imported
            spec = None
        if spec is None or spec.submodule_search_locations is None:
            raise PolicyError(
                f"{self.name}: no package {self.package!r} is installed; install the "
                "distribution that it belongs to"
            )
        # A module that is made of its spec, and not executed, is enough to find its files.
        resource = files(importlib.util.module_from_spec(spec)).joinpath(*self.inside)
        try:
            with resource.open("rb") as file:
                return file.read(LARGEST + 1)
        except OSError:
            raise PolicyError(f"{self.name}: package {self.package!r} has no such file") from None

    def beside(self, relative: str) -> PackageSource:
        """Return the file that a path relative to this one's folder means."""
        parts = [*self.inside[:-1]]
        for part in relative.split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part != ".":
                parts.append(part)
        return _in_package(f"{self.package}/{'/'.join(parts)}", relative)


def locate(reference: str, beside: Source | None = None) -> Source:
    """Return the source that a reference means: a path, ``package:...``, or a ready policy.

    beside: the file that refers to it, whose folder relative paths start from.
    Raises PolicyError for a package's path that leaves the package, and for an unknown name.
    """
    if "\0" in reference:
        raise PolicyError(f"{reference!r:.80}: no path holds a null character")
    if reference.startswith(_PACKAGE):
        return _in_package(reference.removeprefix(_PACKAGE), reference)
    if re.fullmatch(r"[\w-]+", reference):
        return _ready(reference)
    return beside.beside(reference) if beside else FileSource(Path(reference))


def _ready(name: str) -> PackageSource:
    if name not in ready.names():
        raise PolicyError(
            f"no ready policy {name!r}: {nearest(name, ready.names())}. The name of a file "
            f"ends in {', '.join(FORMATS)}."
        )
    return PackageSource("secateur", ("policy", "ready", f"{name}.toml"))


def _in_package(path: str, reference: str) -> PackageSource:
    package, *inside = path.split("/")
    if not inside or not package.isidentifier() or not all(map(_SAFE_PART.fullmatch, inside)):
        raise PolicyError(
            f"{reference!r}: wanted package:NAME/folder/file.toml, a top-level package and a "
            "path that stays inside it"
        )
    return PackageSource(package, tuple(inside))
