"""Targets from their data files, which ship with the package; or from a file of the user."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from secateur.errors import PolicyError, TargetError, nearest, shown
from secateur.hooks.registry import registry
from secateur.policy.messages import explain
from secateur.policy.origins import Origins
from secateur.targets.target import Target

_MAX_BYTES = 1 << 20


@cache
def names() -> tuple[str, ...]:
    """Return the names of the targets that ship with the package, sorted.

    >>> names()[:2]
    ('coreml', 'ethos-u55')
    """
    found = (entry.name for entry in (files(__package__) / "data").iterdir())
    return tuple(sorted(name[: -len(".toml")] for name in found if name.endswith(".toml")))


def load(name: str | Path) -> Target:
    """Return a target.

    Args:
        name: One of `names`, or the path of a file that ends in ``.toml``.

    Raises:
        TargetError: There is no such target, or its file is not valid.

    """
    if name in names():
        return _shipped(str(name))
    if not isinstance(name, (str, Path)) or Path(name).suffix != ".toml":
        raise TargetError(
            f"no target {shown(name)}: {nearest(str(name), names())}; or the path of a .toml file"
        )
    path = Path(name)
    if not path.is_file():
        raise TargetError(f"{path!s:.200}: no such file")
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise TargetError(f"{path!s:.200}: larger than {_MAX_BYTES:,} bytes, which no target is")
    return parse(content, path.stem, f"{path!s:.200}")


@cache
def _shipped(name: str) -> Target:
    content = (files(__package__) / "data" / f"{name}.toml").read_bytes()
    return parse(content, name, f"target {name}")


def parse(content: bytes, name: str, where: str) -> Target:
    """Return the target that the content of a file describes.

    Args:
        content: The bytes of the file.
        name: The name of the target.
        where: What errors call the file.

    Raises:
        TargetError: The file is not well formed, or not a valid target.

    """
    registry()  # which adds the kinds that plugins provide
    try:
        table = tomllib.loads(content.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise TargetError(f"{where}: not well formed: {error!s:.300}") from None
    try:
        return Target.model_validate({**table, "name": name})
    except ValidationError as error:
        raise _worded(explain(error, Origins(where))) from None


def _worded(error: PolicyError) -> TargetError:
    return TargetError(str(error))
