"""Whatever is given, it is a policy or a PolicyError: no other exception comes out."""

from __future__ import annotations

import contextlib
import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import secateur
from secateur.errors import PolicyError, SecateurError
from secateur.policy.match import Match
from secateur.policy.policy import Policy, as_policy
from secateur.policy.rule import Rule

KEYS = [
    *Policy.model_fields, *Rule.model_fields, *Match.model_fields, "kind", "extends", "begin_step",
    "end_step", "frequency", "final_sparsity", "points", "begin_when", "monitor", "window", "keep",
    "of", "out", "in", "pooling", "seed", "power", "torch", "keras", "$schema",
]  # fmt: skip
WORDS = [
    "one_shot", "constant", "linear", "piecewise", "magnitude", "random", "n_m", "block", "channel",
    "uniform", "erk", "global", "lamp", "dense", "conv", "kernel", "first", "last", "10%", "100%",
    "fc", "f*", "[", "*", "", "\ud800", "a\0b", "\n", "cnn-80", "package:x/y.toml", "x" * 300, "é",
]  # fmt: skip
LEAVES = st.one_of(
    st.sampled_from(WORDS),
    st.none(),
    st.booleans(),
    st.integers(-3, 1200),
    st.floats(0, 1),
    st.sampled_from([10**4000, -(2**63), 2**63, float("nan"), float("inf"), -0.0, 1e308]),
    st.sampled_from([b"x", {1}, object(), print, np.float32(0.5), np.int64(3), np.ones(2), 1j]),
    st.builds(lambda: Rule(prune=False)),
    st.builds(lambda: Match(kind="dense")),
)
KEY = st.one_of(st.sampled_from(KEYS), st.sampled_from([*WORDS, 1, None, 10**4000, (1,), b"k"]))
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner, inner),
        st.dictionaries(KEY, inner, max_size=5),
    ),
    max_leaves=20,
)
SCHEDULES = st.fixed_dictionaries(
    {"kind": st.sampled_from(["one_shot", "constant", "linear", "piecewise"]),
     "final_sparsity": st.one_of(st.floats(0, 1), LEAVES)},
    optional={key: st.one_of(st.integers(-1, 200), st.sampled_from(["5%", "80%"]), LEAVES)
              for key in ("begin_step", "end_step", "frequency", "points", "begin_when")},
)  # fmt: skip
MATCHES = st.dictionaries(st.sampled_from([*Match.model_fields]), VALUES, max_size=3)
RULES = st.fixed_dictionaries(
    {}, optional={"match": st.one_of(MATCHES, VALUES), "required": st.booleans(),
                  "schedule": SCHEDULES, "pattern": VALUES, "id": LEAVES}
)  # fmt: skip
TABLES = st.fixed_dictionaries(
    {"schedule": SCHEDULES},
    optional={"rules": st.one_of(st.lists(RULES, max_size=4), VALUES), "pattern": VALUES,
              "criterion": VALUES, "distribution": VALUES, "version": LEAVES, "name": LEAVES,
              "plugins": VALUES, "extends": LEAVES},
)  # fmt: skip
MODEL = {"fc": np.ones((4, 4)), "conv": np.ones((2, 2, 3, 3)), "head:kernel": np.ones((4, 8))}


def check(make) -> Policy | None:
    """Return the policy, or None when it is refused by an error in a few words."""
    try:
        return make()
    except PolicyError as error:
        text = str(error)
        assert len(text) < 8000
        assert text
        text.encode()
        return None


@given(st.one_of(TABLES, st.dictionaries(KEY, VALUES, max_size=6), VALUES))
def test_whatever_a_mapping_holds(table):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        policy = check(lambda: Policy.parse(table))
        if policy is None:
            return
        assert len(policy.fingerprint) == 64
        assert Policy.parse(policy.to_dict()).fingerprint == policy.fingerprint
        for verb in (secateur.plan, secateur.attach):
            model = {name: array.copy() for name, array in MODEL.items()}
            for total_steps in (None, 100):
                with contextlib.suppress(SecateurError):
                    result = verb(model, policy, total_steps=total_steps)
                    assert str(result)
                    if verb is secateur.attach:
                        result.detach()


@given(VALUES)
def test_whatever_a_verb_is_given(value):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(lambda: as_policy(value))


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4),
       st.sampled_from([Policy, Rule, Match]))  # fmt: skip
def test_whatever_a_constructor_is_given(settings_of, table):
    check(lambda: table(**settings_of))


@pytest.mark.parametrize("suffix", [".toml", ".json", ".yaml"])
@settings(deadline=None)
@given(content=st.one_of(
    st.binary(max_size=60),
    st.text(max_size=60).map(lambda text: text.encode(errors="surrogatepass")),
    st.lists(st.sampled_from([
        "schedule", "=", ":", "{", "}", "[", "]", "\n", " ", "kind", "'one_shot'", "rules", "match",
        "&a", "*a", "!!int", "<<", "-", "- ", "0.5", "final_sparsity", ",", '"', "'", '"""', "#",
        ".", "\\u00", "1", "nan", "1979-05-27", "?", "|", ">", "%", "@",
    ]), max_size=25).map(lambda words: "".join(words).encode()),
))  # fmt: skip
def test_whatever_a_file_holds(tmp_path_factory, suffix, content):
    path = tmp_path_factory.getbasetemp() / f"any{suffix}"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        check(lambda: Policy.load(path))


@given(VALUES)
def test_a_json_file_gives_what_its_mapping_gives(tmp_path_factory, value):
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return
    path = tmp_path_factory.getbasetemp() / "same.json"
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one = check(lambda: Policy.load(path))
        two = check(lambda: Policy.parse(json.loads(text)))
    assert one == two
