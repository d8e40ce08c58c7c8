"""Criteria of several kinds: by element, over whole weights, with gradients, that regrow."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import reference

from secateur.components.criteria import Criterion, Magnitude
from secateur.components.distributions import Uniform
from secateur.components.method import Method
from secateur.components.patterns import Block, Unstructured
from secateur.components.schedules import OneShot
from secateur.errors import ModelError, PluginError
from secateur.masks import compute as masks
from secateur.numpy_adapter import NumpyAdapter
from secateur.selection.context import Context

WEIGHT = np.random.default_rng(0).standard_normal((6, 9)).astype(np.float32)


class Signed(Criterion):
    """Negative scores too."""

    kind = "signed"
    elementwise = True

    def score(self, weight, context):
        return weight


class RelativeToRow(Criterion):
    """Needs the whole weight."""

    kind = "relative"

    def score(self, weight, context):
        assert weight.shape == (6, 9)
        return np.abs(weight) / np.abs(weight).sum(axis=1, keepdims=True)


class Saliency(Criterion):
    """Wants the gradient."""

    kind = "saliency"
    elementwise = True

    def score(self, weight, context):
        return np.abs(weight * context.gradient)


class Regrowing(Magnitude):
    """Lets pruned weights come back."""

    kind = "regrowing"
    regrows: ClassVar[bool] = True


def mask_of(criterion, weight=WEIGHT, pattern=None, previous=None, gradient=None):
    method = Method(OneShot(final_sparsity=0.5), criterion, pattern or Unstructured(), Uniform())
    bound = NumpyAdapter().bind({"w": weight}).weights[0]
    if gradient is not None:
        bound.gradient = lambda: gradient
    return masks.compute(method, [bound], 0.5, 0, previous)["w"]


def best(scores):
    return reference.best(list(scores.ravel()), 27).reshape(scores.shape)


@pytest.mark.parametrize("weight", [WEIGHT, np.asfortranarray(WEIGHT)])
def test_scores_may_be_negative(weight):
    np.testing.assert_array_equal(mask_of(Signed(), weight), best(WEIGHT))


WRONG = {
    "integers": lambda weight: np.round(weight).astype(int),
    "bools": lambda weight: weight > 0,
    "complex": lambda weight: weight + 1j,
    "objects": lambda weight: weight.astype(object),
    "none": lambda weight: None,
    "shape": lambda weight: weight.reshape(-1)[:1],
    "nan": lambda weight: weight * np.nan,
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("by_element", [True, False])
@pytest.mark.parametrize("pattern", [Unstructured(), Block(out=2)], ids=["single", "block"])
def test_scores_that_cannot_rank_weights_are_refused(case, by_element, pattern):
    class Wrong(Criterion):
        kind = "wrong"
        elementwise = by_element

        def score(self, weight, context):
            return WRONG[case](weight)

    with pytest.raises(PluginError, match=r"secateur_criteria \(criterion 'wrong'\), step 0, .*w"):
        mask_of(Wrong(), pattern=pattern)


@pytest.mark.parametrize("weight", [WEIGHT, np.asfortranarray(WEIGHT)])
def test_a_criterion_over_the_whole_weight(weight):
    scores = np.abs(WEIGHT) / np.abs(WEIGHT).sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(mask_of(RelativeToRow(), weight), best(scores))


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_criterion_with_gradients(order):
    gradient = np.array(np.random.default_rng(1).standard_normal((6, 9)), order=order)
    mask = mask_of(Saliency(), gradient=gradient)
    np.testing.assert_array_equal(mask, best(np.abs(WEIGHT * gradient)))
    mask_of(Saliency(), pattern=Block(out=2), gradient=gradient)


def test_no_gradient_is_a_clear_error():
    with pytest.raises(ModelError, match=r"w: the criterion needs a gradient.*magnitude"):
        mask_of(Saliency())


def test_only_a_criterion_that_regrows_brings_pruned_weights_back():
    previous = {"w": np.abs(WEIGHT) < np.median(np.abs(WEIGHT))}
    assert not (mask_of(Magnitude(), previous=previous) & ~previous["w"]).any()
    np.testing.assert_array_equal(mask_of(Regrowing(), previous=previous), best(np.abs(WEIGHT)))


def test_the_context_gives_the_index_of_each_value():
    seen = []

    class Watching(Magnitude):
        kind = "watching"

        def score(self, weight, context: Context):
            seen.append((weight.copy(), context.index.copy()))
            return np.abs(weight)

        keys = Criterion.keys

    turned = np.asfortranarray(WEIGHT)
    mask_of(Watching(), turned)
    mask_of(Watching(), turned, Block(out=4))
    for values, index in seen:
        np.testing.assert_array_equal(values.ravel(), WEIGHT.ravel()[index.ravel()])
