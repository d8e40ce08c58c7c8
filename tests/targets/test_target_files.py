"""The data files of targets: what they hold is checked, and a mistake is named."""

from __future__ import annotations

import pytest

import secateur
from secateur.tables import for_stdout
from secateur.targets.describe import describe
from secateur.targets.load import load, names, parse

GOOD = """
version = 1
title = "A board"
about = "It is given a file."
[sources]
guide = "its guide"
[[uses]]
id = "blocks"
gains = ["cycles"]
says = "it skips blocks."
source = "guide"
pattern = { kind = "block", out = 4, in = 1 }
suggests = 0.8
needs = [
  { kinds = ["dense"], source = "guide" },
  { sparsity = { above = "2/3" }, source = "guide" },
]
"""
MISTAKES = {
    ("version = 1", "version = 2"): "board: version: 2: input should be 1",
    ('title = "A board"', 'titel = "A board"'): "unknown key 'titel': did you mean 'title'?",
    ('"block"', '"blok"'): "uses[0].pattern: no pattern 'blok': did you mean 'block'?",
    ('["cycles"]', '["cycle"]'): "did you mean 'cycles'?",
    ('["cycles"]', "[]"): "uses[0].gains",
    ('["dense"]', '["dens"]'): "needs[0]: kinds: no 'dens': did you mean 'dense'?",
    ('{ kinds = ["dense"], ', "{ "): "wanted one of kinds, dtypes",
    ('"2/3"', '"5/3"'): "a sparsity lies from 0 to below 1",
    ('"2/3"', "0.66"): "wanted a fraction in quotes",
    ("suggests = 0.8", "suggests = 0.5"): "suggests = 0.5 is no sparsity above 2/3",
    ("suggests = 0.8", ""): "suggests belongs to",
    ('says = "it skips blocks."\nsource = "guide"', 'says = "x"\nsource = "gide"'): "no source",
    ('guide = "its guide"', 'guide = "its guide"\nother = "x"'): "no line has the source 'other'",
    ("version = 1", "version = = 1"): "board: not well formed",
}


def test_a_file_of_ones_own_is_a_target(tmp_path):
    path = tmp_path / "board.toml"
    path.write_text(GOOD)
    import numpy as np

    report = secateur.target(str(path), {"fc": np.ones((16, 8), "float32")})
    assert 'kind = "block"' in report.policy
    assert report.target.name == "board"


@pytest.mark.parametrize(("change", "message"), MISTAKES.items())
def test_a_mistake_in_a_file_is_named(change, message):
    text = GOOD.replace(*change)
    assert text != GOOD
    with pytest.raises(secateur.TargetError) as caught:
        parse(text.encode(), "board", "board")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", names())
def test_every_line_of_a_target_has_a_source_and_fits_a_terminal(name):
    text = for_stdout(describe(load(name)))
    assert max(map(len, text.splitlines())) <= 80
    for number in range(1, len(load(name).sources) + 1):
        assert text.count(f"[{number}]") >= 2


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path):
    path = tmp_path / "large.toml"
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(secateur.TargetError, match="larger than"):
        load(str(path))
    path.write_bytes(b"\xff")
    with pytest.raises(secateur.TargetError, match="not well formed"):
        load(str(path))
