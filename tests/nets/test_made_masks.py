"""No release, NumPy version or processor changes a mask unnoticed."""

from __future__ import annotations

import json

import numpy as np
import pytest

import secateur
from tests.nets import made_masks

# a made policy may ask for a sparsity that its pattern fixes otherwise
pytestmark = pytest.mark.filterwarnings("ignore::secateur.ScheduleWarning")


def test_the_masks_of_a_thousand_policies_are_those_of_the_first_release() -> None:
    found = list(made_masks.digests())
    wanted = json.loads(made_masks.FILE.read_text())
    assert len(wanted) == made_masks.COUNT
    differing = [number for number in range(made_masks.COUNT) if found[number] != wanted[number]]
    assert not differing, f"the masks of {len(differing)} policies changed: {differing[:10]}"


def test_masks_do_not_depend_on_the_order_in_which_weights_are_listed() -> None:
    for number in range(0, made_masks.COUNT, 3):
        (model, policy), (again, _) = made_masks.case(number), made_masks.case(number)
        masks = secateur.prune(model, policy).masks
        other = secateur.prune(dict(reversed(again.items())), policy).masks
        if len({array.tobytes() for array, _ in made_masks.case(number)[0].values()}) < len(model):
            continue  # weights that are equal in every bit
        for name in masks:
            np.testing.assert_array_equal(masks[name], other[name], f"{name} of case {number}")


def test_a_changed_mask_changes_its_digest(monkeypatch) -> None:
    case = next(n for n in range(50) if made_masks.case(n)[1]["schedule"]["final_sparsity"] == 0.5)
    before, values = made_masks.digest(case), made_masks.Dice.values
    monkeypatch.setattr(made_masks.Dice, "values", lambda *given: values(*given)[::-1])
    assert made_masks.digest(case) != before


def test_made_weights_are_exact_in_every_dtype() -> None:
    for how in made_masks.VALUES:
        wide = made_masks.Dice(7).values((50,), how, "float64")
        narrow = made_masks.Dice(7).values((50,), how, "float32")
        np.testing.assert_array_equal(wide, narrow)
