"""The kinds of weights: one table, to which plugins add kinds of their own."""

from __future__ import annotations

from dataclasses import dataclass

_HIGHEST_RANK = 64
"""How many axes an array of NumPy may have."""
_RESERVED = ("skip",)
"""Words that stand where a kind may stand: ``--kind GLOB=skip``."""


@dataclass(frozen=True)
class Kind:
    """What is known of every weight of one kind, in canonical layout.

    Attributes:
        name: The word for it in plans and in a policy's ``match``.
        ranks: The numbers of axes that its canonical shape may have.
        roles: The roles that its weights may play in their layer.
        out_axis: The axis of the outputs, along which tiles and channels are laid.
        in_axis: The axis of the inputs, along which N:M sets are laid.

    Raises:
        ValueError: A value is not of its type, or the axes do not lie within every rank.

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
        _check_word("the name of a kind", self.name)
        if self.name in _RESERVED:
            raise ValueError(
                f"{self.name!r} cannot be the name of a kind: it has a meaning already"
            )
        for field in ("ranks", "roles"):
            values = getattr(self, field)
            if not isinstance(values, (tuple, list)) or not values:
                raise ValueError(
                    f"kind {self.name!r}: {field} is a tuple of at least one value, "
                    f"not {values!r:.80}"
                )
            object.__setattr__(self, field, tuple(values))  # a list cannot be hashed
        for role in self.roles:
            _check_word(f"a role of kind {self.name!r}", role)
        self._check_axes()

    def _check_axes(self) -> None:
        for number in (*self.ranks, self.out_axis, self.in_axis):
            if type(number) is not int or not 0 <= number <= _HIGHEST_RANK:
                raise ValueError(
                    f"kind {self.name!r}: ranks and axes are integers from 0 to "
                    f"{_HIGHEST_RANK}, not {number!r:.80}"
                )
        if self.out_axis == self.in_axis:
            raise ValueError(f"kind {self.name!r}: out_axis and in_axis are both {self.in_axis}")
        if max(self.out_axis, self.in_axis) >= min(self.ranks):
            raise ValueError(
                f"kind {self.name!r}: out_axis = {self.out_axis} and in_axis = {self.in_axis} "
                f"must lie within every rank of {self.ranks}"
            )


def _check_word(what: str, word: object) -> None:
    if not isinstance(word, str) or not (word.isidentifier() and word.isascii()):
        raise ValueError(f"{what} is an identifier such as 'dense', not {word!r:.80}")


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
_removed: dict[str, Kind] = {}
"""Kinds of plugins that were unregistered: models that were bound before still have them."""


def kind_named(name: str) -> Kind:
    """Return the kind of that name, also one that was removed since.

    Args:
        name: A name of `kind_names`, or the kind of a weight.

    Raises:
        KeyError: There is no such kind.

    Example:
        >>> kind_named("rnn").out_axis
        1

    """
    found = _table.get(name)
    return _removed[name] if found is None else found


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
    table = _table
    return tuple(dict.fromkeys(role for kind in table.values() for role in kind.roles))


def add_kind(kind: Kind) -> None:
    """Add a kind that a plugin provides; only the registry calls this."""
    global _table
    _table = {**_table, kind.name: kind}  # a new table: other threads may be reading this one


def remove_kind(name: str) -> None:
    """Remove a kind that a plugin provided; only the registry calls this."""
    global _table
    _removed[name] = _table[name]
    _table = {known: kind for known, kind in _table.items() if known != name}
