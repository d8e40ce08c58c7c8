"""The kinds of weights: one table, to which plugins add kinds of their own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """What is known of every weight of one kind, in canonical layout.

    Attributes:
        name: The word for it in plans and in a policy's ``match``.
        ranks: The numbers of axes that its canonical shape may have.
        roles: The roles that its weights may play in their layer.
        out_axis: The axis of the outputs, along which tiles and channels are laid.
        in_axis: The axis of the inputs, along which N:M sets are laid.

    Example:
        >>> Kind("capsule", ranks=(4,), roles=("kernel",), out_axis=1, in_axis=3)
        Kind(name='capsule', ranks=(4,), roles=('kernel',), out_axis=1, in_axis=3)

    """

    name: str
    ranks: tuple[int, ...]
    roles: tuple[str, ...] = ("kernel",)
    out_axis: int = 0
    in_axis: int = 1

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ValueError(f"the name of a kind is an identifier, not {self.name!r}")
        if not self.ranks or not self.roles:
            raise ValueError(f"kind {self.name!r}: ranks and roles name one value at least")
        if self.out_axis == self.in_axis:
            raise ValueError(f"kind {self.name!r}: out_axis and in_axis are both {self.in_axis}")
        if not min(self.out_axis, self.in_axis) >= 0:
            raise ValueError(f"kind {self.name!r}: out_axis and in_axis count from 0")
        if max(self.out_axis, self.in_axis) >= min(self.ranks):
            raise ValueError(
                f"kind {self.name!r}: out_axis = {self.out_axis} and in_axis = {self.in_axis} "
                f"must lie within every rank of {self.ranks}"
            )


BUILTIN_KINDS = (
    Kind("dense", ranks=(2, 3)),
    Kind("conv", ranks=(3, 4, 5)),
    Kind("conv_transpose", ranks=(3, 4, 5)),
    Kind("depthwise", ranks=(3, 4, 5)),
    Kind("embedding", ranks=(2,), roles=("embedding",)),
    Kind("rnn", (3, 4, 5, 6), ("kernel", "recurrent", "output"), out_axis=1, in_axis=2),
    Kind("expert", ranks=(3,), out_axis=1, in_axis=2),
    Kind("attention", ranks=(2,), roles=("query", "key", "value", "output")),
)
_table: dict[str, Kind] = {kind.name: kind for kind in BUILTIN_KINDS}


def kind_named(name: str) -> Kind:
    """Return the kind of that name.

    Args:
        name: A name of `kind_names`.

    Raises:
        KeyError: There is no such kind.

    Example:
        >>> kind_named("rnn").out_axis
        1

    """
    return _table[name]


def kind_names() -> tuple[str, ...]:
    """Return the names of all kinds, the built-in ones first.

    Example:
        >>> kind_names()[:3]
        ('dense', 'conv', 'conv_transpose')

    """
    return tuple(_table)


def role_names() -> tuple[str, ...]:
    """Return the names of all roles, in the order of the kinds that have them.

    Example:
        >>> role_names()[:2]
        ('kernel', 'embedding')

    """
    return tuple(dict.fromkeys(role for kind in _table.values() for role in kind.roles))


def add_kind(kind: Kind) -> None:
    """Add a kind that a plugin provides; only the registry calls this."""
    _table[kind.name] = kind


def remove_kind(name: str) -> None:
    """Remove a kind that a plugin provided; only the registry calls this."""
    del _table[name]
