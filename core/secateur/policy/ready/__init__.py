"""Ready policies: their names work wherever a policy is taken, and in ``extends``.

Each is a TOML file next to this one, with a comment that says for what and from which source.

>>> [name for name in names() if name.startswith("cnn")]
['cnn-80', 'cnn-block-4x1']
>>> about("cnn-80").splitlines()[0]
'A convolutional network for images at 80 % sparsity, first convolution and classifier dense.'
"""

from __future__ import annotations

from importlib.resources import files


def names() -> tuple[str, ...]:
    """Return the names of the ready policies, sorted."""
    found = (entry.name for entry in files(__name__).iterdir())
    return tuple(sorted(name[: -len(".toml")] for name in found if name.endswith(".toml")))


def text(name: str) -> str:
    """Return a ready policy's file, comments and all, to start from."""
    return files(__name__).joinpath(f"{name}.toml").read_text(encoding="utf-8")


def about(name: str) -> str:
    """Return the comment at the head of a ready policy."""
    lines = text(name).splitlines()
    head = lines[: next(n for n, line in enumerate(lines) if not line.startswith("#"))]
    return "\n".join(line.removeprefix("#").strip() for line in head)
