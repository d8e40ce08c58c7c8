"""A file that takes its name once it is complete.

Where the file system can, the file has no name at all until then, so that nothing of it is left
even of a process that is killed.  Elsewhere, as on NFS, it has a temporary one, and what a killed
process left is removed when the same file is written again.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import IO

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

from secateur.files.checks import check_output

_OPEN_FILES = "/proc/self/fd"
"""Where Linux lists open files, so that a file without a name can be given one."""
_TOKEN = "[0-9a-f]" * 16
"""The part of a temporary name that tells it from others."""


class Draft:
    """A file that is being written, and has no name yet.

    Args:
        target: The name that it is going to have, or one in the same folder.
        replaced: The status of the file that it is going to replace, whose mode it takes.

    Attributes:
        file: The open file.

    """

    def __init__(self, target: Path, replaced: os.stat_result | None = None) -> None:
        self._temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
        # The kernel applies the umask; reading it here would set it for other threads too.
        mode = 0o666 if replaced is None else replaced.st_mode & 0o600
        descriptor = _unnamed(target.parent, mode)
        self._is_named = descriptor is None
        if descriptor is None:
            remove_abandoned(target)
            flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
            descriptor = os.open(self._temporary, flags, mode)
        try:
            mark_used(descriptor)
            if replaced is not None and hasattr(os, "fchmod"):
                with suppress(PermissionError):  # only root may give a file away
                    os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))
            self.file: IO[bytes] = os.fdopen(descriptor, "w+b")
        except BaseException:
            os.close(descriptor)
            self._temporary.unlink(missing_ok=True)
            raise

    def publish(self, target: Path) -> None:
        """Give the file its name; a file that has the name is replaced in the same instant.

        Args:
            target: The name, in the file system of the draft.

        Raises:
            OSError: The file cannot be written, or given the name.

        """
        self.file.flush()
        os.fsync(self.file.fileno())
        if not self._is_named:
            _link(self.file.fileno(), self._temporary)
        self._temporary.replace(target)

    def close(self) -> None:
        """Close the file, and forget it if it was not published."""
        with suppress(OSError):  # what could not be written is not written now
            self.file.close()
        self._temporary.unlink(missing_ok=True)

    def names(self, path: object) -> bool:
        """Return whether an error names this file, which a user does not know, or none."""
        return path is None or str(path) in (str(self._temporary), str(self._temporary.parent))


def mark_used(descriptor: int) -> None:
    """Show other processes that this one still writes an open file or folder."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)


def remove_abandoned(target: Path) -> None:
    """Remove the temporary files and folders of processes that were killed while they wrote.

    Args:
        target: The name that they were to have.

    """
    if fcntl is None:
        return
    for path in target.parent.glob(f".{escape(target.name[:40])}.{_TOKEN}.tmp"):
        with suppress(OSError):  # it is in use, or another process removes it, too
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)


def _unnamed(folder: Path, mode: int) -> int | None:
    """Open a file without a name; None where the file system has none."""
    flag = getattr(os, "O_TMPFILE", 0)
    if not flag or not Path(_OPEN_FILES).is_dir():
        return None
    try:
        return os.open(folder, flag | os.O_RDWR, mode)
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT):
            return None  # the last where the folder is missing, which the next call says
        raise


def _link(descriptor: int, path: Path) -> None:
    """Give a name to an open file that has none."""
    folder = os.open(_OPEN_FILES, os.O_RDONLY)
    try:
        os.link(str(descriptor), path, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


@contextmanager
def atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file without a name; it takes the name `path` once it is complete.

    A file that was there keeps its mode, and a symbolic link stays and leads to the new file.

    Args:
        path: The file to write.

    Yields:
        The open file.

    Raises:
        OSError: As `check_output`; or it cannot be written, the disk being full, for example.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomically(Path(folder, "note.txt")) as file:
        ...         _ = file.write(b"done")
        ...     Path(folder, "note.txt").read_text()
        'done'

    """
    check_output(path)
    target = Path(os.path.realpath(path))
    try:
        replaced = target.stat()
    except FileNotFoundError:
        replaced = None
    draft = Draft(target, replaced)
    try:
        yield draft.file
        draft.publish(target)
    except OSError as error:
        if error.errno and draft.names(error.filename):
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        draft.close()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there.

    Args:
        path: The file to write; one that is there is replaced, and keeps its mode.
        content: All of its bytes.

    Raises:
        OSError: The file cannot be written, or `path` is something else than a regular file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_atomically(Path(folder, "note.txt"), b"done")
        ...     Path(folder, "note.txt").read_text()
        'done'

    """
    with atomically(path) as file:
        file.write(content)
