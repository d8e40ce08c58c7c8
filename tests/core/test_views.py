"""Plans, reports, policies and pruners as people see them: printed, and in a notebook."""

from __future__ import annotations

import html.parser
from collections import Counter

import numpy as np
import pytest

import secateur
from secateur.adapter import Skipped
from secateur.run.plan import Plan
from secateur.tables import Column, Table
from secateur.tables.cells import shortened, width_of
from secateur.tables.fit import fitted

POLICY = {
    "name": "<b>edge & co</b>",
    "schedule": {"kind": "one_shot", "final_sparsity": 0.5},
    "rules": [{"id": "<i>stem</i>", "match": {"position": "first"}, "prune": False}, {}],
}


def weights(count: int = 3) -> dict[str, np.ndarray]:
    names = ["<script>alert(1)</script>:kernel", *(f"layers.{n}:kernel" for n in range(1, count))]
    return {name: np.arange(16.0).reshape(4, 4) for name in names}


def with_norms(plan: Plan, count: int) -> Plan:
    """Return a plan whose model holds normalization layers, too."""
    reason = "BatchNormalization: never pruned"
    norms = [Skipped(f"norm{number}", reason, 8) for number in range(count)]
    values = {**vars(plan), "skipped": (*norms, Skipped("odd", "Odd: not known"))}
    return Plan(**values)


def shown() -> list[object]:
    return [
        secateur.plan(weights(), POLICY),
        secateur.prune(weights(), POLICY),
        secateur.Policy.parse(POLICY),
        secateur.attach(weights(), POLICY),
    ]


def test_repr_is_one_short_line_whatever_names_hold():
    policy = {**POLICY, "name": "long\n" * 1000}
    objects = [*shown(), secateur.Policy.parse(policy), secateur.plan(weights(500), policy)]
    for each in objects:
        assert repr(each).isprintable()
        assert len(repr(each)) < 200
        assert repr(each).startswith(f"<{type(each).__name__} ")


def test_a_plan_and_a_report_end_with_how_many_weights_stay():
    plan, report, *_ = shown()
    assert str(plan).endswith("\n\n32 of 48 weights stay")
    assert str(report).endswith("\n\n32 of 48 weights stay")


def test_reasons_that_repeat_are_folded_and_listed_on_demand():
    plan = with_norms(secateur.plan(weights(), POLICY), 52)
    assert "  52 x BatchNormalization: never pruned (416 parameters)\n" in str(plan)
    assert "fold=False" in str(plan)
    assert "norm7" not in str(plan)
    every = plan.to_text(fold=False)
    assert "52 x" not in every
    assert all(f"  norm{n}: BatchNormalization: never pruned (8" in every for n in range(52))
    for text in (str(plan), every):
        assert "  odd: Odd: not known" in text


def test_rules_are_shown_by_id_where_they_have_one():
    plan, *_ = shown()
    rows = [line.split() for line in str(plan).splitlines()]
    assert [row[4] for row in rows[2:5]] == ["<i>stem</i>", "2", "2"]
    assert "<i>stem</i>" in str(plan.policy)


def test_numbers_are_set_to_the_right_also_beside_wide_characters():
    model = {"核:kernel": np.ones((40, 40)), "fc:kernel": np.ones((2, 2))}
    _, _, first, second, total, *_ = str(secateur.prune(model, POLICY)).splitlines()
    assert width_of(first) == width_of(second) == width_of(total) + len("  0.0000")


class Page(html.parser.HTMLParser):
    """What a notebook gets: its elements, its attributes, its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]

    def handle_data(self, data):
        self.words.append(data)


def test_a_notebook_shows_escaped_tables_without_scripts_or_colours():
    for each in shown():
        text = each._repr_html_()
        page = Page(text)
        assert page.tags["table"] >= 1
        assert set(page.tags).isdisjoint({"script", "b", "i", "style", "link", "img"})
        assert "color:" not in text
        if not isinstance(each, secateur.Policy):
            assert "<script>alert(1)</script>:kernel" in page.words


@pytest.mark.slow
def test_a_notebook_keeps_little_of_a_large_model():
    for verb in (secateur.plan, secateur.prune):
        text = verb(weights(2_000), POLICY)._repr_html_()
        assert len(text) < 40_000
        assert "... 1,9" in text


@pytest.mark.parametrize("width", [8, 14, 20, 30])
def test_shortened_names_fit_and_stay_apart_where_they_can(width):
    names = [f"model.layers.{n}.self_attn.{part}_proj:kernel" for n in range(9) for part in "qkv"]
    short = shortened([*names, "fc", "核" * 40], width)
    assert max(map(width_of, short)) <= width
    assert short[-2] == "fc"
    assert width < 20 or len(set(short)) > 9


def test_columns_leave_in_their_order_and_are_named():
    columns = (Column("weight", long="shorten"), Column("kind", drop=1), Column("shape", drop=2))
    table = Table(columns, [("w" * 60, "dense", "4x4")])
    heads = {width: [c.head for c in fitted(table, width).columns] for width in (80, 40, 32, 25)}
    assert heads[80] == heads[40] == ["weight", "kind", "shape"]
    assert heads[32] == ["weight", "kind"]
    assert heads[25] == ["weight"]
    assert fitted(table, 25).dropped == ("kind", "shape")
