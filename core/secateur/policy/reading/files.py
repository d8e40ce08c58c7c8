"""Policies as files: read with all that they extend, and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secateur.errors import PolicyError, shown
from secateur.files import write_atomically
from secateur.policy.formats import format_table, parse
from secateur.policy.limits import check_table
from secateur.policy.origins import IN_CODE, Origins
from secateur.policy.reading.merging import Merged, merge, own_layer
from secateur.policy.sources import PolicySource, locate

MAX_CHAIN = 16
"""How many files may extend one another."""
MAX_FILES = 64
"""How many files one policy may be made of."""

Refuse = Callable[[PolicyError], None]


@dataclass(frozen=True)
class Layer:
    """One file of a policy.

    Attributes:
        own: What the file itself holds.
        bases: The names of all files that it extends, directly or not.
        references: What it extends, as it is written.
        lacks_bases: Whether something that it extends could not be read.

    """

    own: Merged
    bases: frozenset[str]
    references: tuple[str, ...] = ()
    lacks_bases: bool = False


def read(reference: str) -> Merged:
    """Read a policy file, or a ready policy, with everything that it extends.

    Args:
        reference: A path, ``package:NAME/folder/file.toml``, or the name of a ready policy.

    Raises:
        PolicyError: A file is missing or not well formed, or files extend one another in a
            circle.

    """
    return merged(read_layers(reference))


def extend(table: Mapping[str, Any]) -> Merged:
    """Return a policy's table, made in code, merged over what it extends.

    Args:
        table: The table of a policy.

    Raises:
        PolicyError: As `read`.

    """
    return merged(table_layers(table))


def table_layers(table: Mapping[str, Any], refuse: Refuse | None = None) -> list[Layer]:
    """Return a table made in code, after the files that it extends.

    Args:
        table: The table of a policy.
        refuse: As in `read_layers`.

    """
    reading = _Reading(refuse or _raise)
    reading.add_table(table, IN_CODE, ())
    return reading.layers


def read_layers(reference: str, refuse: Refuse | None = None) -> list[Layer]:
    """Read the files that a policy is made of; each comes after those that it extends.

    Args:
        reference: As in `read`.
        refuse: Called with each error instead of raising it; what it is about is left out.

    """
    reading = _Reading(refuse or _raise)
    try:
        source = locate(reference)
    except PolicyError as error:
        reading.refuse(error)
    else:
        reading.add(source, ())
    return reading.layers


def merged(layers: list[Layer]) -> Merged:
    """Return one table of all files, the later ones on top of the earlier ones."""
    whole = layers[0].own
    for layer in layers[1:]:
        whole = merge(whole, layer.own, layer.bases)
    if len(layers) > 1:
        check_table(whole.table, whole.origins.name)
    return whole


def _raise(error: PolicyError) -> None:
    raise error


class _Reading:
    """Collects the files of a policy, each once, bases first."""

    def __init__(self, refuse: Refuse) -> None:
        self.refuse = refuse
        self.layers: list[Layer] = []
        self._bases: dict[str, frozenset[str]] = {}

    def add(self, source: PolicySource, chain: tuple[PolicySource, ...]) -> frozenset[str]:
        """Read a file and its bases; return its name and theirs."""
        if source.key in self._bases:
            return self._bases[source.key]
        try:
            self._check_chain(source, chain)
            content = self._content(source, chain)
            table = parse(content, source.suffix, source.name)
        except PolicyError as error:
            self.refuse(error)
            return frozenset()
        text = {source.name: (content, source.suffix)}
        bases = self.add_table(table, source.name, (*chain, source), text)
        self._bases[source.key] = bases | {source.name}
        return self._bases[source.key]

    def _content(self, source: PolicySource, chain: tuple[PolicySource, ...]) -> bytes:
        try:
            return source.read()
        except PolicyError as error:
            raise PolicyError(
                f"{error}; {chain[-1].name} extends it" if chain else str(error)
            ) from None

    def _check_chain(self, source: PolicySource, chain: tuple[PolicySource, ...]) -> None:
        cycle = source.key in [each.key for each in chain]
        if cycle or len(chain) >= MAX_CHAIN:
            names = " -> ".join(each.name for each in (*chain, source))
            problem = "extends itself" if cycle else f"extends more than {MAX_CHAIN} files"
            raise PolicyError(f"{chain[0].name} {problem}: {names}")
        if len(self._bases) + len(chain) >= MAX_FILES:
            raise PolicyError(f"{chain[0].name} extends more than {MAX_FILES} files")

    def add_table(
        self,
        table: Mapping[str, Any],
        name: str,
        chain: tuple[PolicySource, ...],
        texts: Mapping[str, tuple[bytes, str]] | None = None,
    ) -> frozenset[str]:
        """Add a table after its bases; return the names of these."""
        bases: frozenset[str] = frozenset()
        lacks_bases = False
        try:
            check_table(table, name)
            references = _references(table.get("extends"), name)
        except PolicyError as error:
            self.refuse(error)
            return bases
        for reference in references:
            try:
                source = locate(reference, chain[-1] if chain else None)
            except PolicyError as error:
                self.refuse(PolicyError(f"{name}: extends: {error}"))
                lacks_bases = True
                continue
            found = self.add(source, chain)
            lacks_bases = lacks_bases or not found
            bases |= found
        files = tuple(path for path in (chain[-1].path,) if path) if chain else ()
        own = own_layer(table, Origins(name, files=files, texts=texts or {}), self.refuse)
        self.layers.append(Layer(own, bases, tuple(references), lacks_bases))
        return bases


def _references(extends: Any, name: str) -> list[str]:
    references = extends if isinstance(extends, (list, tuple)) else [extends]
    if extends is None:
        return []
    for reference in references:
        if not isinstance(reference, str) or not reference.strip():
            raise PolicyError(
                f"{name}: extends = {shown(extends)}: wanted the path of a policy file, or a list "
                "of them"
            )
    return list(references)


def write(table: Mapping[str, Any], path: Path) -> None:
    """Write a table in the format that the file's suffix names."""
    write_atomically(path, format_table(table, path.suffix, str(path)).encode())
