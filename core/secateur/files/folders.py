"""A folder that takes its name once all of its files are complete."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import IO

from secateur.files.atomic import Draft, mark_used, remove_abandoned
from secateur.files.checks import check_writable_folder

_HERE, _EXCHANGE = -100, 2
"""The current folder and the exchange of two names, as Linux's renameat2 has them."""


def check_new_folder(path: Path, replaces: bool = False) -> None:
    """Check that a folder can be written.  Nothing is written.

    Args:
        path: The folder.
        replaces: Whether it replaces one of this name; it must be new, or empty, otherwise.

    Raises:
        OSError: There is something of that name, or the folder above cannot be written.

    """
    target = Path(os.path.realpath(path))
    check_writable_folder(target.parent, path)
    if replaces or not os.path.lexists(target):
        return
    if not target.is_dir():
        raise FileExistsError(errno.EEXIST, "is there, and is no folder", str(path))
    if list(target.iterdir()):
        raise FileExistsError(errno.ENOTEMPTY, "is a folder that is not empty", str(path))


class NewFolder:
    """A folder that is being written.

    Several processes may write one together: each creates files and publishes them, then one of
    them finishes it.

    Args:
        target: The name that it is going to have.
        token: Tells it from others that are written at the same time; of all processes the same.

    """

    def __init__(self, target: Path, token: str = "") -> None:
        self.target = Path(os.path.realpath(target))
        token = token or secrets.token_hex(8)
        self.path = self.target.with_name(f".{self.target.name[:40]}.{token}.tmp")
        self._drafts: dict[str, Draft] = {}
        self._descriptor: int | None = None
        remove_abandoned(self.target)

    def create(self, name: str) -> IO[bytes]:
        """Open a new file of the folder.

        Args:
            name: Its name.

        """
        self._drafts[name] = Draft(self.target.with_name(name))
        return self._drafts[name].file

    def publish(self) -> None:
        """Give the files that this process created their names, in a folder that no one sees."""
        self.path.mkdir(exist_ok=True)
        self._descriptor = os.open(self.path, os.O_RDONLY)
        mark_used(self._descriptor)
        for name, draft in self._drafts.items():
            draft.publish(self.path / name)

    def finish(self, replaces: bool = False) -> None:
        """Give the folder its name.

        Args:
            replaces: Whether it replaces one of this name, in the same instant.

        Raises:
            OSError: There is a folder of this name that is not empty, or it cannot be replaced.

        """
        if not replaces:
            self.path.replace(self.target)
            return
        _exchange(self.path, self.target)

    def close(self) -> None:
        """Remove what was not finished, and what was replaced."""
        for draft in self._drafts.values():
            draft.close()
        shutil.rmtree(self.path, ignore_errors=True)
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _exchange(first: Path, second: Path) -> None:
    """Exchange the names of two folders, in one instant."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    number = errno.ENOSYS
    if rename is not None:
        names = os.fsencode(first), os.fsencode(second)
        if rename(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0:
            return
        number = ctypes.get_errno()
    raise OSError(
        number, "cannot be replaced in one step here; write another folder, by -o", str(second)
    )
