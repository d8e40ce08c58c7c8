"""Where policy files are: in folders, in installed packages, and among the ready ones."""

from __future__ import annotations

import importlib.util
import os
import re
import stat
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from os.path import normpath, realpath
from pathlib import Path, PurePosixPath
from typing import Protocol

from secateur.errors import PolicyError, nearest
from secateur.policy import ready
from secateur.policy.limits import MAX_BYTES

FORMATS = (".toml", ".yaml", ".yml", ".json")
_FOLDER = "this is a folder; give the policy files in it"
_LONGEST = 200
_PACKAGE = "package:"
_SAFE_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class PolicySource(Protocol):
    """What one policy file is read from.

    `name` is for people, `key` for comparing, and `path` None where it is no file of its own.
    """

    @property
    def name(self) -> str: ...
    @property
    def key(self) -> str: ...
    @property
    def suffix(self) -> str: ...
    @property
    def path(self) -> Path | None: ...
    def read(self) -> bytes: ...
    def relative(self, path: str) -> PolicySource: ...


@dataclass(frozen=True)
class FileSource:
    """A file of a folder."""

    path: Path

    @property
    def name(self) -> str:
        return _shortened(str(self.path))

    @property
    def key(self) -> str:
        return realpath(self.path)

    @property
    def suffix(self) -> str:
        return self.path.suffix

    def read(self) -> bytes:
        try:
            return _read_regular(self.path)
        except FileNotFoundError:
            raise PolicyError(f"{self.name}: no such policy file") from None
        except OSError as error:
            raise PolicyError(f"{self.name}: cannot be read: {error.strerror}") from error

    def relative(self, path: str) -> FileSource:
        """Return the file that a path relative to this one's folder means."""
        return FileSource(Path(normpath(self.path.parent / path)))


def _read_regular(path: Path) -> bytes:
    """Return the content of a file, a little more than its limit at most.

    A pipe or a device, which could make a reader wait for ever, is an OSError.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise OSError(0, _FOLDER if stat.S_ISDIR(mode) else "not a regular file")
    with open(descriptor, "rb") as file:  # noqa: PTH123 - of a descriptor, not of a path
        return file.read(MAX_BYTES + 1)


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."


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

    @property
    def path(self) -> Path | None:
        try:
            resource = self._resource()
        except PolicyError:
            return None
        return resource if isinstance(resource, Path) else None

    def read(self) -> bytes:
        resource = self._resource()
        try:
            if isinstance(resource, Path):
                return _read_regular(resource)
            with resource.open("rb") as file:  # in a zip file
                return file.read(MAX_BYTES + 1)
        except OSError:
            raise PolicyError(f"{self.name}: package {self.package!r} has no such file") from None

    def _resource(self) -> Traversable:
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
        return files(importlib.util.module_from_spec(spec)).joinpath(*self.inside)

    def relative(self, path: str) -> PackageSource:
        """Return the file that a path relative to this one's folder means."""
        parts = [*self.inside[:-1]]
        for part in path.split("/"):
            if part == ".." and parts:
                parts.pop()
            elif part != ".":
                parts.append(part)
        return _in_package(f"{self.package}/{'/'.join(parts)}", path)


def locate(reference: str, relative_to: PolicySource | None = None) -> PolicySource:
    """Return the source that a reference means.

    Args:
        reference: A path, ``package:NAME/folder/file.toml``, or the name of a ready policy.
        relative_to: The file that refers to it; relative paths start from its folder.

    Raises:
        PolicyError: No ready policy has that name, or a package's path leaves the package.

    """
    _refuse_what_is_no_path(reference)
    if reference.startswith(_PACKAGE):
        return _in_package(reference.removeprefix(_PACKAGE), reference)
    if re.fullmatch(r"[\w-]+", reference):
        return _ready(reference)
    return relative_to.relative(reference) if relative_to else FileSource(Path(reference))


def _refuse_what_is_no_path(reference: str) -> None:
    if "\0" in reference:
        raise PolicyError(f"{reference!r:.80}: no path holds a null character")
    if "\n" in reference:
        raise PolicyError(
            f"{reference!r:.80}: wanted the path of a policy file, not the text of one. Parse the "
            "text first, by tomllib.loads or json.loads, and give Policy.parse the mapping."
        )
    try:
        os.fsencode(reference)
    except UnicodeEncodeError:
        raise PolicyError(f"{reference!r:.80}: no path of a file is written like this") from None


def _ready(name: str) -> PackageSource:
    if name not in ready.names():
        if len(name) < _LONGEST and Path(name).is_dir():
            raise PolicyError(f"{name:.80}: {_FOLDER}")
        raise PolicyError(
            f"no ready policy {name[:80]!r}: {nearest(name, ready.names())}. The name of a file "
            f"ends in {', '.join(FORMATS)}."
        )
    return PackageSource("secateur", ("policy", "ready", f"{name}.toml"))


def _in_package(path: str, reference: str) -> PackageSource:
    package, *inside = path.split("/")
    if not inside or not package.isidentifier() or not all(map(_SAFE_PART.fullmatch, inside)):
        raise PolicyError(
            f"{reference!r:.200}: wanted package:NAME/folder/file.toml, a top-level package and a "
            "path that stays inside it"
        )
    return PackageSource(package, tuple(inside))
