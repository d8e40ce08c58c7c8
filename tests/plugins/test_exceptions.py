"""Whatever a plugin raises, wherever it does: a PluginError that names the plugin."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

import secateur
from secateur.cli import app
from secateur.components.criteria import Magnitude
from secateur.components.distributions import Uniform
from secateur.components.patterns import FixedPattern, Unstructured
from secateur.components.schedules import Linear, OneShot
from secateur.errors import PluginError
from secateur.hooks.registry import registry

HALF = {"kind": "one_shot", "final_sparsity": 0.5}


class MuteError(Exception):
    def __str__(self):
        raise ArithmeticError("no words either")


RAISED = {
    "StopIteration": StopIteration(),
    "StopIteration_with_value": StopIteration(3),
    "StopAsyncIteration": StopAsyncIteration(),
    "AttributeError": AttributeError("no such thing"),
    "KeyError": KeyError("key"),
    "OSError": MemoryError("no room"),
    "MuteError": MuteError(),
}


@pytest.fixture(params=RAISED)
def fail(request):
    """Return a function of any arguments that raises one of the exceptions."""

    def fail(*args, **settings):
        raise RAISED[request.param]

    return fail


def weights():
    return {"a": np.arange(1.0, 9).reshape(2, 4), "b": np.arange(1.0, 9).reshape(4, 2)}


def run(policy):
    """Use a policy in every way, with the weights unchanged by what fails."""
    for use in (secateur.plan, secateur.prune, train):
        model = weights()
        before = {name: array.copy() for name, array in model.items()}
        try:
            use(model, policy)
        except PluginError:
            for name, array in model.items():
                np.testing.assert_array_equal(array, before[name])
            raise


def train(model, policy):
    pruner = secateur.attach(model, policy, total_steps=4)
    for _ in range(4):
        pruner.observe(loss=1.0)
        pruner.step()
    pruner.report()
    pruner.detach()


class Everything(Linear):
    kind = "everything"


class Waiting(Linear):
    kind = "waiting"


class Stretched(Linear):
    kind = "stretched"


class Piecemeal(Magnitude):
    kind = "piecemeal"


class WholeScores(Magnitude):
    kind = "whole_scores"
    elementwise = False


class Plain(Unstructured):
    kind = "plain"


class Rows(secateur.Pattern):
    kind = "rows"

    def extent(self, spec):
        return (1, None)

    def pool(self, scores, spec):
        return scores.max(axis=1)


class Fixed(FixedPattern):
    kind = "fixed"
    fixed_sparsity: ClassVar[Fraction] = Fraction(1, 2)  # type: ignore[misc]

    def extent(self, spec):
        return (1, 2)

    def select(self, elements):
        return np.arange(elements.size).reshape(elements.shape) % 2 == 0


class Even(Uniform):
    kind = "even"


STEADY = {"final_sparsity": 0.5, "end_step": 3, "frequency": 1}
TABLES = {
    Everything: {"kind": "everything", **STEADY},
    Waiting: {"kind": "waiting", **STEADY, "begin_when": {"monitor": "loss", "window": 1}},
    Stretched: {"kind": "stretched", **STEADY, "end_step": "75%"},
}
METHODS = [
    *((Everything, name) for name in ("final", "sparsity", "curve", "last_update_between")),
    *((Everything, name) for name in ("updates_at", "percentages", "with_total_steps")),
    *((Waiting, name) for name in ("earliest", "latest", "starting_at")),
    *((Stretched, name) for name in ("percentages", "with_total_steps")),
    *((Piecemeal, name) for name in ("score", "keys", "finite")),
    (WholeScores, "score"),
    *((Plain, name) for name in ("group", "expand", "fixed_sparsity")),
    *((Rows, name) for name in ("extent", "pool")),
    *((Fixed, name) for name in ("select", "fixed_sparsity")),
    *((Even, name) for name in ("targets", "select")),
]


@pytest.mark.sampled(3)
@pytest.mark.parametrize(
    ("base", "method"), METHODS, ids=lambda value: getattr(value, "kind", value)
)
def test_a_component_that_fails_is_named(registered, fail, base, method):
    if method in ("updates_at", "last_update_between", "score") and base is not WholeScores:
        # the base's own methods answer without it
        names = {"score": ("score", "keys"), "updates_at": ("updates_at",)}.get(method, (method,))
    else:
        names = (method,)
    is_property = isinstance(getattr(base, method), (property, Fraction))
    members = {name: property(fail) if is_property else fail for name in names}
    failing = type(base.__name__, (base,), {"kind": f"failing_{base.kind}", **members})

    class Plugin:
        pass

    def hook(self):
        return [failing]

    hook.__name__ = base.hook
    setattr(Plugin, base.hook, secateur.hookimpl(hook))
    registered(Plugin())
    table = {**TABLES.get(base, {}), "kind": failing.kind}
    with pytest.raises(PluginError) as caught:
        run({"schedule": HALF, base.family: table})
    message = str(caught.value)
    assert f"plugin 'test 0', {base.hook} ({base.family} {failing.kind!r})" in message


GIVING = [
    *("secateur_adapters", "secateur_schedules", "secateur_criteria", "secateur_patterns"),
    *("secateur_distributions", "secateur_kinds", "secateur_exporters"),
]


def plugin_with(hook, function):
    """Return a plugin of one hook."""

    if hook == "secateur_layer_weights":
        marked = lambda self, adapter, layer: function()  # noqa: E731
    elif hook == "secateur_masks_updated":
        marked = lambda self, event: function()  # noqa: E731
    else:
        marked = lambda self: function()  # noqa: E731
    marked.__name__ = hook
    return type("Plugin", (), {hook: secateur.hookimpl(marked)})()


@pytest.mark.parametrize("hook", GIVING)
def test_a_hook_that_fails_registers_nothing(fail, hook):
    before = set(registry().plugins)
    with pytest.raises(PluginError, match=rf"plugin 'failing' cannot be registered: {hook} raised"):
        secateur.register(plugin_with(hook, fail), "failing")
    assert set(registry().plugins) == before


@pytest.mark.parametrize("member", ["secateur_hook_version", "secateur_schedules", "__eq__"])
def test_a_plugin_that_cannot_be_looked_at_is_refused(fail, member):
    class Plugin:
        @secateur.hookimpl
        def secateur_masks_updated(self, event): ...

    setattr(Plugin, member, fail if member == "__eq__" else property(fail))
    before = set(registry().plugins)
    with pytest.raises(PluginError, match="plugin 'failing' cannot be registered: "):
        secateur.register(Plugin(), "failing")
    assert set(registry().plugins) == before


def test_a_part_that_cannot_be_looked_at_is_refused(fail):
    part = type("Failing", (Odd,), {"name": property(fail)})()
    with pytest.raises(PluginError, match="plugin 'failing' cannot be registered: "):
        secateur.register(plugin_with("secateur_adapters", lambda: [part]), "failing")


def test_an_observer_that_fails_is_named(registered, fail):
    registered(plugin_with("secateur_masks_updated", fail))
    with pytest.raises(PluginError, match="plugin 'test 0', secateur_masks_updated, step 0, weigh"):
        run({"schedule": HALF})


@pytest.mark.framework
def test_a_hook_of_layers_that_fails_is_named(registered, fail):
    import torch

    class Matrix(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.values = torch.nn.Parameter(torch.ones(4, 4))

    registered(plugin_with("secateur_layer_weights", fail))
    with pytest.raises(PluginError, match="plugin 'test 0', secateur_layer_weights, Sequential o"):
        secateur.plan(torch.nn.Sequential(Matrix()), {"schedule": HALF})


def test_a_layer_whose_attribute_fails_is_an_error_of_the_plugin_that_named_it(registered, fail):
    class Strange:
        shape = property(fail)

    Strange.w = property(fail)
    weight = secateur.LayerWeight("w", "dense")
    registered(plugin_with("secateur_layer_weights", lambda: [weight]))
    with pytest.raises(PluginError, match="plugin 'test 0', secateur_layer_weights, Strange of"):
        secateur.layer_weights("any", Strange())


class Model:
    """A model that no adapter knows, but the one of a test."""


class Odd(secateur.Adapter):
    name = "odd"

    def matches(self, model):
        return isinstance(model, Model)

    def bind(self, model):
        return secateur.NumpyAdapter().bind({"w": np.ones((4, 4))})

    def hint(self, model):
        return None


@pytest.mark.parametrize("method", ["matches", "hint", "bind"])
def test_an_adapter_that_fails_is_named(registered, fail, method):
    failing = type("Failing", (Odd,), {method: fail})
    registered(plugin_with("secateur_adapters", lambda: [failing()]))
    model = object() if method == "hint" else Model()
    name = rf"plugin 'test 0', secateur_adapters \(adapter 'odd'\), {method}\(\): "
    with pytest.raises(PluginError, match=name):
        secateur.plan(model, {"schedule": HALF})


OF_BINDINGS = ["apply", "applied_masks", "enforce", "watch_optimizer", "include", "to_native",
               "from_native", "callback"]  # fmt: skip
OF_WEIGHTS = ["read", "gradient", "identity"]


class ByGradient(Magnitude):
    kind = "by_gradient"

    def score(self, weight, context):
        return np.abs(context.gradient() or weight)

    keys = score


def use_all(pruner):
    """Call what asks the binding for anything but new masks."""
    for use in (
        pruner.callback,
        lambda: pruner.include(1),
        pruner.state_dict,
        lambda: pruner.load_state_dict({"step": 1}),
        pruner.step,
    ):
        with contextlib.suppress(secateur.ModelError, secateur.StateError):
            use()


@pytest.mark.sampled(3)
@pytest.mark.parametrize("method", [*OF_BINDINGS, *OF_WEIGHTS])
def test_an_adapter_whose_binding_fails_is_named(registered, fail, method):
    array = np.arange(1.0, 17).reshape(4, 4)
    binding = secateur.NumpyAdapter().bind({"w": array})
    failing = binding if method in OF_BINDINGS else binding.weights[0]
    adapter = type("Failing", (Odd,), {"bind": lambda self, model: binding})()
    registered(plugin_with("secateur_adapters", lambda: [adapter]))
    registered(plugin_with("secateur_criteria", lambda: [ByGradient]))
    criterion = "by_gradient" if method == "gradient" else "magnitude"
    if method == "enforce":  # apply() calls it, too
        pruner = secateur.attach(Model(), {"schedule": HALF})
        setattr(failing, method, fail)
    else:
        setattr(failing, method, fail)
        pruner = None
    with pytest.raises(PluginError) as caught:
        use_all(pruner or secateur.attach(Model(), {"schedule": HALF, "criterion": criterion}))
    assert f"plugin 'test 0', secateur_adapters (adapter 'odd'), {method}()" in str(caught.value)
    assert len(str(caught.value)) < 600
    assert np.count_nonzero(array) in (8, 16)


@pytest.mark.parametrize("method", ["suffixes", "read_file"])
def test_an_adapter_that_fails_to_read_a_file_is_named(registered, fail, tmp_path, method):
    members = {"suffixes": (".odd",), "read_file": fail}
    if method == "suffixes":
        members["suffixes"] = property(fail)
    failing = type("Failing", (Odd,), members)
    registered(plugin_with("secateur_adapters", lambda: [failing()]))
    (tmp_path / "m.odd").write_bytes(b"odd")
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "m.odd")])
    assert isinstance(result.exception, PluginError)
    assert str(result.exception).startswith(
        f"plugin 'test 0', secateur_adapters (adapter 'odd'), {method}"
    )


def test_an_exporter_that_fails_is_named(registered, fail, tmp_path):
    failing = type("Failing", (secateur.Exporter,), {"kind": "failing", "export": fail})
    registered(plugin_with("secateur_exporters", lambda: [failing()]))
    with pytest.raises(PluginError, match=r"plugin 'test 0', secateur_exporters \(exporter 'fail"):
        secateur.export({"w": np.ones((4, 4))}, tmp_path / "w", to="failing")


def test_checks_of_settings_that_fail_are_an_error_of_the_policy(registered, fail):
    class Fussy(Even):
        kind = "fussy"

        def model_post_init(self, context):
            fail()

    registered(plugin_with("secateur_distributions", lambda: [Fussy]))
    with pytest.raises(secateur.PolicyError, match=r"policy: distribution: plugin 'test 0': "):
        secateur.Policy.parse({"schedule": HALF, "distribution": "fussy"})


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit(), SystemExit(3)])
def test_what_ends_the_process_passes_as_it_is(registered, error):
    class Interrupted(Magnitude):
        kind = "interrupted"

        def score(self, weight, context):
            raise error

        keys = score

    registered(plugin_with("secateur_criteria", lambda: [Interrupted]))
    with pytest.raises(type(error)):
        run({"schedule": HALF, "criterion": "interrupted"})


def test_the_cause_of_the_error_is_kept(registered):
    def fail():
        raise StopIteration

    registered(plugin_with("secateur_masks_updated", fail))
    with pytest.raises(PluginError, match="StopIteration; nothing was changed") as caught:
        run({"schedule": HALF})
    assert isinstance(caught.value.__cause__, StopIteration)


def test_a_class_derived_from_a_plugins_is_named_with_that_plugin(registered):
    class Base(Magnitude):
        kind = "base"
        elementwise = False

    class Derived(Base):
        def score(self, weight, context):
            raise ArithmeticError

    registered(plugin_with("secateur_criteria", lambda: [Base]))
    policy = secateur.Policy(schedule=OneShot(final_sparsity=0.5), criterion=Derived())
    with pytest.raises(PluginError) as caught:
        run(policy)
    assert (
        f"plugin '{__name__}.{Derived.__qualname__}', which derives from a class of plugin "
        in str(caught.value)
    )
    assert "'test 0', secateur_criteria (criterion 'base')" in str(caught.value)
