"""Masks answer to the names that a framework gives, and suggest the nearest one otherwise."""

from __future__ import annotations

import numpy as np
import pytest

from secateur.adapter.native_names import named_natively
from secateur.run.report import Masks

NAMES = [
    "0:kernel",
    "2:kernel",
    "hidden:kernel",
    "emb:embedding",
    "att:query",
    "att:key",
    "att:value",
    "att:output",
    "lstm.l0:kernel",
    "lstm.l0:recurrent",
    "bi.l1.forward:kernel",
    "bi.l1.backward:kernel",
    "bi.l1.forward:recurrent",
    "bi.l1.backward:recurrent",
    "gru:kernel",
    "gru:recurrent",
    "a.b.c:kernel",
    "odd:kernel",
]


@pytest.mark.parametrize(
    ("native", "name"),
    [
        ("0.weight", "0:kernel"),
        ("2.weight", "2:kernel"),
        ("module.0.weight", "0:kernel"),
        ("_orig_mod.module.0.weight", "0:kernel"),
        ("hidden/kernel", "hidden:kernel"),
        ("hidden/kernel:0", "hidden:kernel"),
        ("hidden.kernel", "hidden:kernel"),
        ("emb.weight", "emb:embedding"),
        ("emb/embeddings", "emb:embedding"),
        ("att.q_proj_weight", "att:query"),
        ("att.out_proj.weight", "att:output"),
        ("att/query/kernel", "att:query"),
        ("att/attention_output/kernel", "att:output"),
        ("lstm.weight_ih_l0", "lstm.l0:kernel"),
        ("lstm.weight_hh_l0", "lstm.l0:recurrent"),
        ("bi.weight_ih_l1", "bi.l1.forward:kernel"),
        ("bi.weight_hh_l1_reverse", "bi.l1.backward:recurrent"),
        ("gru/kernel", "gru:kernel"),
        ("gru/recurrent_kernel", "gru:recurrent"),
        ("a.b.c.weight", "a.b.c:kernel"),
        ("a/b/c/kernel", "a.b.c:kernel"),
        ("odd.w", "odd:kernel"),
    ],
)
def test_a_native_name_means_one_weight(native, name):
    assert named_natively(native, NAMES) == name
    masks = Masks({each: np.ones(1, bool) for each in NAMES}, {})
    assert masks[native] is masks[name]
    assert native in masks


@pytest.mark.parametrize(
    "name",
    ["", "0", "hidden", "0.bias", "hidden/bias", "att.in_proj_weight", "b.c.weight", "1.weight"],
)
def test_what_means_no_weight_or_several_is_no_name(name):
    assert named_natively(name, NAMES) is None


def test_an_alias_has_native_names_too():
    masks = Masks({"emb:embedding": np.ones(1, bool)}, {"head:kernel": "emb:embedding"})
    assert masks["head.weight"] is masks["head/kernel"] is masks["emb.weight"]


@pytest.mark.parametrize("name", ["hiden:kernel", "hiden.weight", "hiden/kernel"])
def test_the_nearest_name_is_suggested(name):
    masks = Masks({"hidden:kernel": np.ones(1, bool), "out:kernel": np.ones(1, bool)}, {})
    with pytest.raises(KeyError, match="did you mean 'hidden:kernel'"):
        masks[name]


@pytest.mark.parametrize("name", ["x" * 100_000, "x." * 50_000, 3, None, "\ud800", ("a",)])
def test_what_is_asked_for_may_be_anything_and_the_answer_is_short(name):
    masks = Masks({f"layer{number}:kernel": np.ones(1, bool) for number in range(500)}, {})
    with pytest.raises(KeyError) as missing:
        masks[name]
    assert len(str(missing.value).encode()) < 1500
    assert masks.get(name) is None
