"""What is known of one plugin."""

from __future__ import annotations

from dataclasses import dataclass

BUILTIN = "builtin"
"""The name of the plugin that provides the built-ins."""


@dataclass(frozen=True)
class Plugin:
    """One plugin: where it comes from, what it provides, and what went wrong.

    Attributes:
        name: The name of its entry point, or the one given to `secateur.register`.
        distribution: The distribution it came with; empty for one registered in code.
        version: The version of that distribution.
        provides: What it provides, in words such as ``schedule cosine``.
        error: Why it is not registered; None for one that is.

    Example:
        >>> print(Plugin("sine", "team-sine", "1.0"))
        'sine' of team-sine 1.0

    """

    name: str
    distribution: str = ""
    version: str = ""
    provides: tuple[str, ...] = ()
    error: str | None = None

    def __str__(self) -> str:
        origin = f" of {self.distribution} {self.version}" if self.distribution else ""
        return f"{self.name!r}{origin}"
