"""Sentences as numbers: pieces of words, found by sentencepiece on the training part alone."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import sentencepiece
from translation import corpus
from translation.shape import SMALL

BEYOND, _UNKNOWN, BEGIN, END = range(4)


@cache
def of_language(side: int) -> sentencepiece.SentencePieceProcessor:
    """Return what cuts sentences of a language into pieces: 0 is German, 1 is English."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([pair[side] for pair in corpus.load().train]),
        model_writer=model,
        vocab_size=SMALL.words,
        model_type="bpe",
        pad_id=BEYOND,
        unk_id=_UNKNOWN,
        bos_id=BEGIN,
        eos_id=END,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())


def numbers(pairs: list[corpus.Pair]) -> list[tuple[list[int], list[int]]]:
    """Return each pair as two lists of numbers; the English begins and ends with a mark."""
    german, english = (of_language(side) for side in (0, 1))
    return [(german.encode(de), [BEGIN, *english.encode(en), END]) for de, en in pairs]


def filled(sentences: list[list[int]]) -> np.ndarray:
    """Return sentences as one array, zeros beyond the end of each."""
    array = np.full((len(sentences), max(map(len, sentences))), BEYOND, np.int64)
    for row, sentence in zip(array, sentences, strict=True):
        row[: len(sentence)] = sentence
    return array
