"""German sentences with their English: descriptions of Debian's packages, split by source package.

The packages of one source often share whole sentences, so a source is in one part only.  Lines to
test on whose English stands in the training part are dropped.  A line of the test part resembles
no training line if the cosine of its words with each of them is at most 0.5 (TF-IDF, German).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import mnist
import numpy as np

FOLDER = mnist.CACHE / "translation"
MISSING = """the descriptions of Debian's packages are not here; get them so, on Debian 12:
    mkdir -p {folder}/lists/partial && cd {folder}
    apt-get update -o Acquire::Languages=en,de -o Dir::State::lists=$PWD/lists
    main=$(ls lists/*_debian_dists_bookworm_main_i18n_Translation-de* | sed s/i18n_.*//)
    /usr/lib/apt/apt-helper cat-file ${{main}}i18n_Translation-de* > de
    /usr/lib/apt/apt-helper cat-file ${{main}}i18n_Translation-en* > en
    /usr/lib/apt/apt-helper cat-file ${{main}}binary-*_Packages* > packages"""
LONGEST = 15
"""The most words of a sentence."""
Pair = tuple[str, str]
"""A German sentence, and the same in English."""


@dataclass(frozen=True)
class Corpus:
    """Sentence pairs, and which of those to test on resemble no training line.

    Attributes:
        train: What networks are trained on.
        valid: What was looked at to choose sizes, rates and lengths.
        test: What the results are measured on.
        unlike: For each pair of `test`, whether it resembles no training line.
        digest: The first digits of the SHA-256 of all pairs: descriptions change with time.

    """

    train: list[Pair]
    valid: list[Pair]
    test: list[Pair]
    unlike: list[bool]
    nearest: list[str]
    digest: str


@cache
def load() -> Corpus:
    """Return all sentence pairs.

    Raises:
        SystemExit: The descriptions are not here; it says how to get them.

    """
    parts: dict[str, set[Pair]] = {"train": set(), "valid": set(), "test": set()}
    for source, pair in _sentences():
        parts[_part_of(source)].add(pair)
    seen = {english for _, english in parts["train"]}
    train, valid, test = (sorted(parts[name]) for name in ("train", "valid", "test"))
    valid, test = ([pair for pair in part if pair[1] not in seen] for part in (valid, test))
    found = hashlib.sha256(repr((train, valid, test)).encode()).hexdigest()[:12]
    cosines, nearest = _nearest([de for de, _ in train], [de for de, _ in test])
    unlike = [bool(cosine <= 0.5) for cosine in cosines]
    return Corpus(train, valid, test, unlike, [train[n][1] for n in nearest], found)


def _part_of(source: str) -> str:
    """Return the part that the sentences of a source package are in."""
    share = int(hashlib.sha256(source.encode()).hexdigest()[:8], 16) % 1000
    return "test" if share < 30 else "valid" if share < 45 else "train"


def _sentences() -> Iterator[tuple[str, Pair]]:
    sources = {
        name: stanza.get("Source", name).split()[0]
        for stanza in _stanzas("packages", ("Package", "Source"))
        if (name := stanza["Package"])
    }
    texts = ("Package", "Description-md5", "Description-de", "Description-en")
    english = {stanza["Description-md5"]: stanza for stanza in _stanzas("en", texts)}
    for stanza in _stanzas("de", texts):
        twin = english.get(stanza["Description-md5"])
        if twin is None:
            continue
        source = sources.get(stanza["Package"], stanza["Package"])
        for pair in _aligned(stanza["Description-de"], twin["Description-en"]):
            yield source, pair


def _stanzas(name: str, fields: tuple[str, ...]) -> Iterator[dict[str, str]]:
    path = FOLDER / name
    if not path.exists():
        raise SystemExit(MISSING.format(folder=FOLDER))
    for stanza in path.read_text("utf-8").split("\n\n"):
        found = re.findall(r"^([\w-]+): (.*(?:\n .*)*)", stanza, re.MULTILINE)
        values = {field: value for field, value in found if field in fields}
        if values:
            yield values


def _aligned(german: str, english: str) -> Iterator[Pair]:
    """Yield the sentences of a description, where both languages have as many."""
    sides = [_paragraphs(text) for text in (german, english)]
    if len(sides[0]) != len(sides[1]):
        return
    for one, other in zip(*sides, strict=True):
        sentences = [re.split(r"(?<=[.!?]) (?=[A-ZÄÖÜ])", text) for text in (one, other)]
        if len(sentences[0]) == len(sentences[1]):
            yield from (
                (de, en) for de, en in zip(*sentences, strict=True) if _clean(de) and _clean(en)
            )


def _paragraphs(text: str) -> list[str]:
    """Return the title of a description, and each of its paragraphs in one line."""
    title, *lines = text.split("\n")
    paragraphs = "\n".join(line[1:] for line in lines).split("\n.\n")
    return [title, *(" ".join(one.split()) for one in paragraphs)]


def _clean(sentence: str) -> bool:
    """Return whether it is one sentence of a sensible length, no list or address."""
    words = sentence.split()
    return (
        3 <= len(words) <= LONGEST
        and not re.search(r"://| [*-] |[|<>{}]", sentence)
        and sum(character.isalpha() or character == " " for character in sentence)
        > 0.85 * len(sentence)
    )


def _nearest(known: list[str], asked: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return for each sentence the highest cosine with a known one, and which that is."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer()
    there = words.fit_transform(known).T.tocsr()
    cosines = (words.transform(asked) @ there).toarray()
    return cosines.max(1), cosines.argmax(1)
