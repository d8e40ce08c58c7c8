"""Broken adapters of the toy framework, each under the kit; test_sabotage.py runs this file."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np
from toy_adapter import ToyAdapter, ToyBinding, ToyWeight
from toy_conformance import TestToy as ToyConformance

from secateur.layout import IDENTITY, rnn_in_gates
from secateur.testing import policies

FEW = ("unstructured, uniform", "blocks 2x3, mean, lamp", "channels in, global", "2 of 4")
for name in set(policies.EVERY_MASK) - set(FEW):
    del policies.EVERY_MASK[name]


def sabotaged(binding=ToyBinding, weight=ToyWeight, rewrite=None):
    """Return the toy adapter with another binding, other weights, or rewritten entries."""

    class Sabotaged(ToyAdapter):
        def bind(self, model):
            bound = super().bind(model)
            bound.__class__ = binding
            for each in bound.weights:
                each.__class__ = weight
                if rewrite is not None:
                    each.entry = rewrite(each)
                    each.spec = replace(each.spec, shape=each.read().shape)
            return bound

    return Sabotaged()


class TestForgetsToReapply(ToyConformance):
    class Binding(ToyBinding):
        def apply(self, masks):
            super().apply(masks)
            ToyBinding.enforce(self)

        def enforce(self):
            pass

    adapter = sabotaged(Binding)


class TestMultiplies(ToyConformance):
    class Binding(ToyBinding):
        def zero(self, pairs):
            for weight, mask in pairs:
                weight.array[...] *= mask
            return pairs

    adapter = sabotaged(Binding)


class TestKeepsTheFirstMask(ToyConformance):
    class Binding(ToyBinding):
        def apply(self, masks):
            if not self.pairs:
                super().apply(masks)

    adapter = sabotaged(Binding)


class TestAppliesMasksAtTheNextUpdate(ToyConformance):
    class Binding(ToyBinding):
        def apply(self, masks):
            real, self.enforce = self.enforce, lambda: None
            super().apply(masks)
            self.enforce = real

    adapter = sabotaged(Binding)


class TestStepsBeforeTheUpdate(ToyConformance):
    class Binding(ToyBinding):
        def watch_optimizer(self, pruner, optimizer):
            super().watch_optimizer(pruner, None)
            if optimizer is not None:
                update = optimizer.update
                optimizer.update = lambda x: (pruner.step(), update(x), self.enforce())

    adapter = sabotaged(Binding)


class TestMasksAfterItCounts(ToyConformance):
    """New masks are then computed from pruned values that the update has moved."""

    class Binding(ToyBinding):
        is_late = False

        def apply(self, masks):
            self.is_late = False
            super().apply(masks)

        def enforce(self):
            if not self.is_late:
                super().enforce()

        def watch_optimizer(self, pruner, optimizer):
            super().watch_optimizer(pruner, optimizer)
            if optimizer is not None:

                def hook():
                    self.is_late = True
                    pruner.step()
                    self.is_late = False
                    self.enforce()

                optimizer.hooks[optimizer.hooks.index(self.hook)] = self.hook = hook

    adapter = sabotaged(Binding)


class TestMissesTheFirstUpdate(ToyConformance):
    class Binding(ToyBinding):
        def watch_optimizer(self, pruner, optimizer):
            updates = iter(range(1_000_000))
            if optimizer is not None:
                self.optimizer = optimizer
                self.hook = lambda: pruner.step() if next(updates) else self.enforce()
                optimizer.hooks.append(self.hook)

    adapter = sabotaged(Binding)


class TestCountsALayerUsedTwiceAsTwoSteps(ToyConformance):
    class Binding(ToyBinding):
        def watch_optimizer(self, pruner, optimizer):
            if optimizer is not None:
                self.optimizer = optimizer
                self.hook = lambda: pruner.step(updates=len(optimizer.net.layers))
                optimizer.hooks.append(self.hook)

    adapter = sabotaged(Binding)


class TestForgetsTheStepInItsState(ToyConformance):
    class Binding(ToyBinding):
        def to_native(self, array):
            return np.zeros_like(array) if array.ndim == 0 else array

    adapter = sabotaged(Binding)


class TestReadsGatesInTheWrongOrder(ToyConformance):
    adapter = sabotaged(
        rewrite=lambda weight: (
            replace(weight.entry, layout=rnn_in_gates(weight.array.shape, 3))
            if weight.spec.kind == "rnn"
            else weight.entry
        )
    )


class TestReadsATransposedKernel(ToyConformance):
    adapter = sabotaged(
        rewrite=lambda weight: (
            replace(weight.entry, layout=IDENTITY) if weight.spec.kind == "dense" else weight.entry
        )
    )


class TestAppliesATransposedMask(ToyConformance):
    class Binding(ToyBinding):
        def native_mask(self, weight, mask):
            return mask.reshape(weight.array.shape)

    adapter = sabotaged(Binding)


class TestZeroesNaNBeforeItIsSeen(ToyConformance):
    class Weight(ToyWeight):
        def read(self):
            np.nan_to_num(self.array, copy=False)
            return super().read()

    adapter = sabotaged(weight=Weight)


class TestPrunesBeforeAllIsChecked(ToyConformance):
    class Weight(ToyWeight):
        def read(self):
            values = super().read()
            small = np.abs(self.array) < np.median(np.abs(values))
            self.array[small] = 0
            return values

    adapter = sabotaged(weight=Weight)


class TestStaysHookedAfterDetach(ToyConformance):
    class Binding(ToyBinding):
        def release(self):
            pass

    adapter = sabotaged(Binding)


class TestGivesAwayAWritableView(ToyConformance):
    class Weight(ToyWeight):
        def read(self):
            return self.entry.layout.to_canonical(self.array)

    adapter = sabotaged(weight=Weight)


class TestReadsInSinglePrecision(ToyConformance):
    class Weight(ToyWeight):
        def read(self):
            return super().read().astype(np.float32)

    adapter = sabotaged(weight=Weight)


class TestReadsOnlyOnce(ToyConformance):
    class Weight(ToyWeight):
        def read(self):
            if not hasattr(self, "cached"):
                self.cached = super().read().copy()
                self.cached.flags.writeable = False
            return self.cached

    adapter = sabotaged(weight=Weight)


class TestLeavesOutWhatItDoesNotKnow(ToyConformance):
    class Adapter(ToyAdapter):
        def bind(self, model):
            bound = super().bind(model)
            bound.skipped = []
            return bound

    adapter = Adapter()


class TestFindsASharedLayerTwice(ToyConformance):
    class Adapter(ToyAdapter):
        def bind(self, model):
            bound = super().bind(model)
            places = [layer["name"] for layer in model.layers]
            bound.weights = [w for w in bound.weights for _ in range(places.count(w.spec.layer))]
            return bound

    adapter = Adapter()


class TestKeepsMasksInTheModel(ToyConformance):
    class Binding(ToyBinding):
        def apply(self, masks):
            super().apply(masks)
            for weight, mask in self.pairs:
                weight.layer[f"{weight.entry.attribute}_mask"] = mask

    adapter = sabotaged(Binding)


class TestGivesAWrongGradient(ToyConformance):
    class Weight(ToyWeight):
        def gradient(self):
            return self.read()

    adapter = sabotaged(weight=Weight)


class TestMasksWeightsThatHaveNoMask(ToyConformance):
    class Binding(ToyBinding):
        def apply(self, masks):
            super().apply(masks)
            for weight in self.weights:
                weight.array[np.abs(weight.array) < 0.5] = 0

    adapter = sabotaged(Binding)


class TestCountsNothingThatIsNotZero(ToyConformance):
    class Binding(ToyBinding):
        def nonzero_pruned(self):
            return {}

    adapter = sabotaged(Binding)


class TestCountsWhatTheMaskKeeps(ToyConformance):
    class Binding(ToyBinding):
        def nonzero_pruned(self):
            return {w.spec.name: int(np.count_nonzero(w.array)) for w, _ in self.pairs}

    adapter = sabotaged(Binding)


class TestCountsAsOfTheLastUpdate(ToyConformance):
    class Binding(ToyBinding):
        def zero(self, pairs):
            zeroed = super().zero(pairs)
            self.counts = ToyBinding.nonzero_pruned(self)
            return zeroed

        def nonzero_pruned(self):
            return self.counts

    adapter = sabotaged(Binding)


class TestMissesAReplacedLayer(ToyConformance):
    class Binding(ToyBinding):
        def model_changes(self):
            return {}

    adapter = sabotaged(Binding)


class TestNamesNoWeightInItsNotes(ToyConformance):
    class Binding(ToyBinding):
        def model_changes(self):
            return dict.fromkeys(super().model_changes(), "something changed")

    adapter = sabotaged(Binding)


class TestGivesEachBindingItsOwnIdentity(ToyConformance):
    class Weight(ToyWeight):
        def identity(self):
            return self

    adapter = sabotaged(weight=Weight)


class TestCountsTooFewParameters(ToyConformance):
    class Adapter(ToyAdapter):
        def bind(self, model):
            bound = super().bind(model)
            bound.parameters = sum(weight.spec.size for weight in bound.weights)
            return bound

    adapter = Adapter()


class TestGivesNoSizeToWhatIsLeftDense(ToyConformance):
    class Adapter(ToyAdapter):
        def bind(self, model):
            bound = super().bind(model)
            bound.skipped = [replace(each, size=0) for each in bound.skipped]
            return bound

    adapter = Adapter()


class TestCannotLetGoOfAChangedModel(ToyConformance):
    class Binding(ToyBinding):
        def release(self):
            if not self.model_changes():
                super().release()

    adapter = sabotaged(Binding)


class TestKeepsTheMomentumOfWhatComesBack(ToyConformance):
    class Binding(ToyBinding):
        def clear_moments(self, revived):
            pass

    adapter = sabotaged(Binding)


class TestClearsAllMomentum(ToyConformance):
    class Binding(ToyBinding):
        def clear_moments(self, revived):
            self.optimizer.velocities.clear()

    adapter = sabotaged(Binding)


class TestWritesATransposedKernel(ToyConformance):
    class Weight(ToyWeight):
        def write(self, values):
            self.array[...] = values.reshape(self.array.shape)

    adapter = sabotaged(weight=Weight)


class TestSwallowsErrorsOfAStep(ToyConformance):
    class Binding(ToyBinding):
        def watch_optimizer(self, pruner, optimizer):
            super().watch_optimizer(pruner, optimizer)
            if optimizer is not None:
                step, position = self.hook, optimizer.hooks.index(self.hook)

                def hook():
                    with contextlib.suppress(Exception):
                        step()

                self.hook = optimizer.hooks[position] = hook

    adapter = sabotaged(Binding)


class TestGivesAStaleGradient(ToyConformance):
    class Weight(ToyWeight):
        def gradient(self):
            now = super().gradient()
            before, self.before = getattr(self, "before", now), now
            return before

    adapter = sabotaged(weight=Weight)


class TestGivesTheGradientBeforeClipping(ToyConformance):
    """The update is made by what is left after clipping: ranking by more would be another loss."""

    class Binding(ToyBinding):
        def watch_optimizer(self, pruner, optimizer):
            super().watch_optimizer(pruner, optimizer)
            if optimizer is not None:
                raw, compute = {}, optimizer._gradient
                optimizer._gradient = lambda array, x: (
                    raw.__setitem__(id(array), compute(array, x)) or raw[id(array)].copy()
                )
                for weight in self.weights:
                    weight.raw = raw

    class Weight(ToyWeight):
        raw = None

        def gradient(self):
            return self.raw and self.entry.layout.to_canonical(self.raw[id(self.array)])

    adapter = sabotaged(Binding, Weight)


class TestLosesTheMemoryInItsState(ToyConformance):
    class Binding(ToyBinding):
        def to_native(self, array, whole=None):
            return np.zeros_like(array) if array.dtype.kind == "f" else array

    adapter = sabotaged(Binding)
