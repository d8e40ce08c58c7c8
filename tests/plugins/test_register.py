"""Plugins that are registered in code, and plugins that fail while they work."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

import secateur
from secateur.errors import PluginError
from secateur.hooks.registry import registry
from secateur.layout import conv_hwio

STEP = {"kind": "constant", "final_sparsity": 0.5, "begin_step": 1, "frequency": 1}


def weights() -> dict[str, np.ndarray]:
    return {"fc": np.arange(1.0, 9.0).reshape(2, 4), "out": np.arange(1.0, 5.0).reshape(2, 2)}


class Largest(secateur.Criterion):
    kind = "largest"

    def score(self, weight, context):
        return weight


class Plugin:
    @secateur.hookimpl
    def secateur_criteria(self):
        return [Largest]


def test_a_plugin_registered_in_code_is_used_in_a_policy_at_once(registered):
    registered(Plugin())
    w = {"fc": np.array([[-4.0, 1.0], [-3.0, 2.0]])}
    secateur.prune(w, {"criterion": "largest", "schedule": {**STEP, "begin_step": 0}})
    assert w["fc"].tolist() == [[0, 1], [0, 2]]


def test_a_plugin_that_is_changed_in_a_notebook_says_how_to_register_it_again():
    secateur.register(Plugin())
    try:
        with pytest.raises(PluginError, match=r"secateur\.unregister\('Plugin'\) first"):
            secateur.register(Plugin())
    finally:
        secateur.unregister("Plugin")
    assert "largest" not in registry().components("criterion")


@pytest.mark.parametrize("name", [3, None, [1], "", "a" * 10**6, "\udc80"], ids=type)
def test_what_is_no_name_of_a_plugin_is_refused(name):
    with pytest.raises(PluginError, match="is registered: there are: builtin, ") as caught:
        secateur.unregister(name)
    str(caught.value).encode()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [3, "", " ", [1], b"x"])
def test_a_plugin_is_registered_by_a_text(name):
    with pytest.raises(PluginError, match="the name of a plugin is a text"):
        secateur.register(Plugin(), name)


def test_a_class_in_place_of_its_object_says_so():
    with pytest.raises(PluginError, match=r"it is a class; register an object of it: Plugin\(\)"):
        secateur.register(Plugin)


def test_a_class_of_static_hooks_is_a_plugin(registered):
    class Static:
        @staticmethod
        @secateur.hookimpl
        def secateur_criteria():
            return [Largest]

    registered(Static)
    assert "largest" in registry().components("criterion")


def test_the_built_ins_stay():
    with pytest.raises(PluginError, match="the built-ins cannot be unregistered"):
        secateur.unregister("builtin")


def hook_that_is(kind):
    """Return an observer whose body would not run."""
    namespace = {"secateur": secateur}
    body = {"async": "pass", "generator": "yield", "async_generator": "yield"}[kind]
    word = "async " if kind.startswith("async") else ""
    exec(  # noqa: S102
        "class Observer:\n    @secateur.hookimpl\n"
        f"    {word}def secateur_masks_updated(self, event): {body}",
        namespace,
    )
    return namespace["Observer"]()


@pytest.mark.parametrize("kind", ["async", "generator", "async_generator"])
def test_a_hook_whose_body_would_not_run_is_refused(kind):
    with pytest.raises(PluginError, match=r"secateur_masks_updated (is an async|has a yield)"):
        secateur.register(hook_that_is(kind))


def test_a_hook_that_gives_its_parts_one_by_one_is_taken(registered):
    class OneByOne:
        @secateur.hookimpl
        def secateur_criteria(self):
            yield Largest

    registered(OneByOne())
    assert "largest" in registry().components("criterion")


def test_unregistering_an_unknown_name_lists_the_registered():
    with pytest.raises(PluginError, match=r"no plugin 'buildin' .* did you mean 'builtin'"):
        secateur.unregister("buildin")


def test_the_same_object_twice_under_two_names_is_refused(registered):
    class Observer:
        @secateur.hookimpl
        def secateur_masks_updated(self, event): ...

    registered(observer := Observer())
    with pytest.raises(PluginError, match="registered already: 'test 0'"):
        secateur.register(observer, "other")


def test_a_refused_plugin_leaves_no_trace():
    class Twice:
        @secateur.hookimpl
        def secateur_schedules(self):
            return []

        @secateur.hookimpl
        def secateur_criteria(self):
            return [Largest, Largest]

    before = set(registry().plugins), dict(registry().components("criterion"))
    with pytest.raises(PluginError, match="provides the criterion 'largest' twice"):
        secateur.register(Twice())
    assert (set(registry().plugins), dict(registry().components("criterion"))) == before
    assert not registry().manager.has_plugin("Twice")


class BadSchedule(secateur.Schedule):
    kind = "bad_schedule"
    final: ClassVar[float] = 0.5  # type: ignore[misc]

    def sparsity(self, step):
        raise ArithmeticError("out of tune")

    def updates_at(self, step):
        return step == 1


class WildSchedule(BadSchedule):
    kind = "wild_schedule"

    def sparsity(self, step):
        return float("nan")


class BadCriterion(secateur.Criterion):
    kind = "bad_criterion"

    def score(self, weight, context):
        raise ArithmeticError("out of tune")


class BadElementwise(BadCriterion):
    kind = "bad_elementwise"
    elementwise = True


class NaNCriterion(secateur.Criterion):
    kind = "nan_criterion"
    elementwise = True

    def score(self, weight, context):
        return weight * np.nan


class ShapelessCriterion(secateur.Criterion):
    kind = "shapeless_criterion"

    def score(self, weight, context):
        return np.zeros(1)


class BadPattern(secateur.Pattern):
    kind = "bad_pattern"

    def group(self, elements):
        return elements

    def expand(self, kept, spec):
        raise ArithmeticError("out of tune")


class ShapelessPattern(BadPattern):
    kind = "shapeless_pattern"

    def expand(self, kept, spec):
        return kept[:1]


class BadDistribution(secateur.Distribution):
    kind = "bad_distribution"

    def select(self, groups, sparsity, total=None):
        raise ArithmeticError("out of tune")


class AllBad:
    @secateur.hookimpl
    def secateur_schedules(self):
        return [BadSchedule, WildSchedule]

    @secateur.hookimpl
    def secateur_criteria(self):
        return [BadCriterion, BadElementwise, NaNCriterion, ShapelessCriterion]

    @secateur.hookimpl
    def secateur_patterns(self):
        return [BadPattern, ShapelessPattern]

    @secateur.hookimpl
    def secateur_distributions(self):
        return [BadDistribution]


WRONG = {
    "bad_schedule": ("schedule", "fc, out", "ArithmeticError: out of tune"),
    "wild_schedule": ("schedule", "fc, out", "gave sparsity nan"),
    "bad_criterion": ("criterion", "fc", "ArithmeticError: out of tune"),
    "bad_elementwise": ("criterion", "fc", "ArithmeticError: out of tune"),
    "nan_criterion": ("criterion", "fc", "NaN"),
    "shapeless_criterion": ("criterion", "fc", "shape"),
    "bad_pattern": ("pattern", "fc, out", "ArithmeticError: out of tune"),
    "shapeless_pattern": ("pattern", "fc", "gave a mask of bool"),
    "bad_distribution": ("distribution", "fc, out", "ArithmeticError: out of tune"),
}
HOOKS = {
    "schedule": "secateur_schedules",
    "criterion": "secateur_criteria",
    "pattern": "secateur_patterns",
    "distribution": "secateur_distributions",
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_part_that_fails_at_work_is_named_and_the_weights_are_as_they_were(registered, kind):
    family, names, why = WRONG[kind]
    registered(AllBad())
    model, untouched = weights(), weights()
    pruner = secateur.attach(model, {"schedule": STEP, family: kind})
    with pytest.raises(PluginError) as caught:
        pruner.step()
    message = str(caught.value)
    assert message.startswith(
        f"plugin 'test 0', {HOOKS[family]} ({family} {kind!r}), step 1, weights {names}: "
    )
    assert why in message
    assert message.endswith("nothing was changed")
    for name, array in model.items():
        np.testing.assert_array_equal(array, untouched[name])


def test_an_observer_that_fails_is_named_and_the_weights_are_as_they_were(registered):
    class Observer:
        @secateur.hookimpl
        def secateur_masks_updated(self, event):
            raise OSError("disk full")

    registered(Observer())
    model, untouched = weights(), weights()
    with pytest.raises(
        PluginError,
        match="plugin 'test 0', secateur_masks_updated, step 0, "
        "weights fc, out: OSError: disk full; nothing was changed",
    ):
        secateur.attach(model, {"schedule": {**STEP, "begin_step": 0}})
    for name, array in model.items():
        np.testing.assert_array_equal(array, untouched[name])


def test_an_observer_cannot_change_masks(registered):
    seen = []

    class Observer:
        @secateur.hookimpl
        def secateur_masks_updated(self, event):
            seen.append(event)

    registered(Observer())
    secateur.attach(weights(), {"schedule": {**STEP, "begin_step": 0}})
    [event] = seen
    with pytest.raises(ValueError, match="read-only"):
        event.masks["fc"][0, 0] = True
    with pytest.raises(TypeError):
        event.masks["fc"] = None
    with pytest.raises(AttributeError):
        event.step = 3


class Layer:
    w = np.zeros((2, 2))


@pytest.mark.parametrize("answer", [["kernel"], 1])
def test_weights_of_a_layer_of_the_wrong_type_name_the_plugin(registered, answer):
    class Layers:
        @secateur.hookimpl
        def secateur_layer_weights(self, layer):
            return answer if isinstance(layer, Layer) else None

    registered(Layers())
    assert secateur.layer_weights("any", object()) is None
    with pytest.raises(
        PluginError, match=r"'test 0', secateur_layer_weights, Layer .* wanted a list"
    ):
        secateur.layer_weights("any", Layer())


def test_two_plugins_that_give_the_weights_of_one_layer_are_both_named(registered):
    class Layers:
        @secateur.hookimpl
        def secateur_layer_weights(self, adapter, layer):
            return [secateur.LayerWeight("w", "dense")] if isinstance(layer, Layer) else None

    registered(Layers())
    registered(Layers())
    with pytest.raises(
        PluginError, match="two plugins give the weights of the layer Layer: 'test 0' and 'test 1'"
    ):
        secateur.layer_weights("any", Layer())


class Layered:
    def __init__(self):
        self.left = np.zeros((6, 4))


UNFIT = {
    "no_attribute": (secateur.LayerWeight("nope", "dense"), "nope: the layer has no such attr"),
    "no_kind": (secateur.LayerWeight("left", "dens"), "no kind or role 'dens': did you mean 'den"),
    "no_role": (secateur.LayerWeight("left", "dense", "kernl"), "did you mean 'kernel'"),
    "another_rank": (secateur.LayerWeight("left", "conv"), "kind conv has rank 3 or 4 or 5"),
    "another_layout": (
        secateur.LayerWeight("left", "conv", layout=conv_hwio(2)),
        "left: its layout does not fit shape (6, 4)",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_weights_that_do_not_fit_their_layer_are_refused_with_the_plugins_name(registered, case):
    weight, why = UNFIT[case]

    class Layers:
        @secateur.hookimpl
        def secateur_layer_weights(self, layer):
            return [weight] if isinstance(layer, Layered) else None

    registered(Layers())
    with pytest.raises(PluginError) as caught:
        secateur.layer_weights("any", Layered())
    assert "plugin 'test 0', secateur_layer_weights, Layered of the any adapter: " in str(
        caught.value
    )
    assert why in str(caught.value)


def test_an_adapter_that_cannot_tell_whose_a_model_is_is_named(registered):
    class Confused(secateur.Adapter):
        name = "confused"

        def matches(self, model):
            return model.no_such_attribute

        def bind(self, model):
            raise NotImplementedError

    class Plugin:
        @secateur.hookimpl
        def secateur_adapters(self):
            return [Confused()]

    registered(Plugin())
    with pytest.raises(
        PluginError, match=r"plugin 'test 0', secateur_adapters .*'confused'\), mat"
    ):
        secateur.plan(weights(), {"schedule": STEP})


@pytest.mark.parametrize("kind", ["csw", 3, None, "\udc80", "a" * 10**5], ids=type)
def test_an_unknown_exporter_is_refused(kind, tmp_path):
    with pytest.raises(PluginError, match=r"no exporter .*here are: csv, "):
        secateur.export(weights(), tmp_path / "x", to=kind)


def test_checks_of_a_plugin_that_raise_are_errors_of_the_policy(registered):
    class Fussy(secateur.Criterion):
        kind = "fussy"
        base: int = 1

        def model_post_init(self, context):
            self.score(1 / self.base, None)

        def score(self, weight, context):
            return weight

    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Fussy]

    registered(Plugin())
    with pytest.raises(secateur.PolicyError, match="policy: criterion: plugin 'test 0': ZeroDivis"):
        secateur.Policy.parse({"schedule": STEP, "criterion": {"kind": "fussy", "base": 0}})
