"""Globs for the names of weights: what they match, and how large they may be."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from fnmatch import translate

MAX_LENGTH = 1000
"""How many characters a glob may have."""
MAX_GLOBS = 1000
"""How many globs one `name` may list."""
_WILD = re.compile(r"[*?[]")
_NATIVE_ENDINGS = {
    ".weight": ("kernel", "embedding"),
    ".kernel": ("kernel",),
    ".embedding": ("embedding",),
    "/kernel": ("kernel",),
    "/recurrent_kernel": ("recurrent",),
    "/embedding": ("embedding",),
    "/embeddings": ("embedding",),
}
"""How frameworks end the names of parameters, and the roles that these endings stand for."""


def check_globs(globs: Sequence[str]) -> None:
    """Raise ValueError for globs that are too long, or too many."""
    if len(globs) > MAX_GLOBS:
        raise ValueError(f"{len(globs):,} globs; a rule takes at most {MAX_GLOBS:,}")
    for glob in globs:
        if len(glob) > MAX_LENGTH:
            raise ValueError(
                f"a glob of {len(glob):,} characters ({glob[:40]!r}...); at most {MAX_LENGTH:,}"
            )


def native_globs(glob: str) -> Iterator[str]:
    """Yield what a framework's own name of a parameter means here.

    >>> [*native_globs("encoder.0.weight")], [*native_globs("hidden/kernel")]
    (['encoder.0:kernel', 'encoder.0:embedding'], ['hidden:kernel'])
    """
    for ending, roles in _NATIVE_ENDINGS.items():
        if glob.endswith(ending):
            layer = glob.removesuffix(ending).replace("/", ".")
            yield from (f"{layer}:{role}" for role in roles)


class WeightNames:
    """The names of a model's weights, in which globs look for theirs.

    >>> names = WeightNames([["enc.0:kernel", "enc.0"], ["head:kernel", "head"]])
    >>> names.find("enc.*"), names.find("head.weight")
    (frozenset({0}), frozenset({1}))
    """

    def __init__(self, names: Sequence[Collection[str]]) -> None:
        self._indices: dict[str, set[int]] = {}
        for index, each in enumerate(names):
            for name in each:
                self._indices.setdefault(name, set()).add(index)
        self._found: dict[str, frozenset[int]] = {}

    def find(self, glob: str) -> frozenset[int]:
        """Return the indices of the weights that a glob matches.

        A framework's own name of a parameter is understood where nothing has it as a name.
        """
        if glob not in self._found:
            globs = [glob] if (found := self._match(glob)) else native_globs(glob)
            self._found[glob] = found or frozenset().union(*map(self._match, globs))
        return self._found[glob]

    def _match(self, glob: str) -> frozenset[int]:
        if not _WILD.search(glob):
            return frozenset(self._indices.get(glob, ()))
        matches = re.compile(translate(glob)).match
        found = (indices for name, indices in self._indices.items() if matches(name))
        return frozenset().union(*found)
