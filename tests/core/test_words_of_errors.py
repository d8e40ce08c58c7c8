"""What messages share: the nearest name, bounded lists, and values that are safe to show."""

from __future__ import annotations

import pytest

from secateur.errors import closest, in_words, listed, nearest, shown
from secateur.errors.words import MOST_NAMES

PATTERNS = ["block", "channel", "n_m", "unstructured"]
KEYS = ["begin_step", "end_step", "final_sparsity", "frequency", "initial_sparsity"]


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("structured", PATTERNS, None),
        ("Structured", PATTERNS, None),
        ("structure", PATTERNS, None),
        ("unstructurd", PATTERNS, "unstructured"),
        ("nstructured", PATTERNS, "unstructured"),
        ("start_sparsity", KEYS, "initial_sparsity"),
        ("inital_sparsity", KEYS, "initial_sparsity"),
        ("last_sparsity", KEYS, "final_sparsity"),
        ("fina_sparsity", KEYS, "final_sparsity"),
        ("maxsize", ["min_size", "max_size"], "max_size"),
        ("max_siz", ["min_size"], None),
        ("unblock", ["block"], None),
        ("niform", ["uniform"], "uniform"),
    ],
)
def test_the_nearest_word_is_never_the_opposite(word, known, meant):
    assert closest(word, known) == meant


def test_a_list_of_names_is_bounded():
    names = [f"layer{number:04}" for number in range(5000)]
    text = nearest("nothing like it", names)
    assert text.count("layer") == MOST_NAMES
    assert text.endswith("and 4,988 more")
    assert listed(names[:MOST_NAMES]).count("layer") == MOST_NAMES
    assert "more" not in listed(names[:MOST_NAMES])


LONG = {
    "text": "a" * 100_000,
    "surrogates": "\udc80\ud800",
    "integer": 10**5000,
    "list_with_it": [10**5000],
    "list": list(range(10**5)),
    "bytes": b"x" * 10**5,
}


@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_any_value_is_shown_shortly_and_can_be_printed(value):
    text = shown(value)
    assert 0 < len(text) <= 90
    text.encode()


@pytest.mark.parametrize("name", ["a" * 100_000, "\udc80"], ids=["long", "surrogate"])
def test_any_name_is_listed_shortly_and_can_be_printed(name):
    text = nearest(name[:-1] + "b", [name, "other"])
    assert len(text) < 400
    text.encode()


def test_an_exception_is_worded_whatever_its_class_does():
    class MuteError(Exception):
        def __str__(self):
            raise ArithmeticError

    assert in_words(MuteError()) == "MuteError"
    assert in_words(StopIteration()) == "StopIteration"
    assert in_words(OSError("disk full")) == "OSError: disk full"
    assert len(in_words(ValueError("x" * 10**6))) < 1100
