"""What may be read, and what may be written without harm to another file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link to itself",
}


def check_input(path: Path) -> None:
    """Check that a path is a regular file, which cannot block and has an end.

    Args:
        path: The file that will be read.

    Raises:
        OSError: It is missing, or it is a folder, a FIFO, a socket or a device.

    Example:
        >>> check_input(Path())
        Traceback (most recent call last):
        IsADirectoryError: [Errno 21] is a folder, and a file is needed: '.'

    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        _refuse_kind(path, status.st_mode)


def read_bounded(path: Path, most: int) -> bytes:
    """Return the content of a regular file that is not larger than a bound.

    Args:
        path: The file.
        most: The largest number of bytes.

    Raises:
        OSError: It is not a regular file, it is larger, or it cannot be read.

    """
    check_input(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"larger than {most:,} bytes", str(path))
    return content


def is_same_file(first: Path, second: Path) -> bool:
    """Return whether two paths lead to one file, by links too, whether or not it exists.

    Args:
        first: A path.
        second: Another path.

    """
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    with suppress(OSError):
        return first.samefile(second)
    return False


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Check that a file can be written without harm to another one.  Nothing is written.

    A regular file at `path` may be replaced.  A symbolic link is followed.

    Args:
        path: The file that will be written.
        inputs: Files that must stay as they are: what is read, and the other outputs.

    Raises:
        OSError: The folder is missing or not writable, `path` is something else than a
            regular file, or it is one of `inputs`, by any name.

    Example:
        >>> check_output(Path("model.npz"), inputs=[Path("./model.npz")])
        Traceback (most recent call last):
        FileExistsError: [Errno 17] would overwrite model.npz: 'model.npz'

    """
    target = Path(os.path.realpath(path))
    for each in inputs:
        if is_same_file(path, each):
            raise FileExistsError(errno.EEXIST, f"would overwrite {each}", str(path))
    check_writable_folder(target.parent, path)
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(mode):
        _refuse_kind(path, mode)
    if not os.access(target, os.W_OK):
        raise PermissionError(errno.EACCES, "is read-only", str(path))


def check_absent(path: Path, overwrite: bool) -> None:
    """Check that there is no file yet, unless it may be replaced.

    Args:
        path: The file that will be written.
        overwrite: Whether a file that is there may be replaced.

    Raises:
        FileExistsError: There is a file.

    Example:
        >>> check_absent(Path(__file__), overwrite=True)

    """
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(
            errno.EEXIST,
            "there is a file already; overwrite=True (--overwrite) replaces it",
            str(path),
        )


def check_outputs(outputs: Sequence[Path | None], inputs: Iterable[Path]) -> None:
    """Check that each output can be written, and is no input and no other output.

    Args:
        outputs: The files that will be written; None for one that is not wanted.
        inputs: The files that are read.

    Raises:
        OSError: An output would do harm; the message names it.

    """
    taken = list(inputs)
    for output in outputs:
        if output is not None:
            check_output(output, taken)
            taken.append(output)


def check_writable_folder(folder: Path, path: Path) -> None:
    """Check that a folder exists and can be written.

    Args:
        folder: The folder.
        path: What will be written in it, for the message.

    Raises:
        OSError: It is missing, no folder, or not writable.

    """
    try:
        is_folder = stat.S_ISDIR(folder.stat().st_mode)
    except FileNotFoundError:
        message = f"No such file or directory: the folder {folder} is missing"
        raise FileNotFoundError(errno.ENOENT, message, str(path)) from None
    if not is_folder:
        raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder", str(path))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(errno.EACCES, f"the folder {folder} is not writable", str(path))


def _refuse_kind(path: Path, mode: int) -> NoReturn:
    kind = _KINDS.get(stat.S_IFMT(mode), "something else")
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, f"is {kind}, and a file is needed", str(path))
