"""Every hook has its exact signature and a running example in the docs, and a test here."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import secateur
from secateur.hooks import hookspecs
from secateur.hooks.at_work import workers_of_this_run
from secateur.hooks.registry import registry
from secateur.layout import DENSE_IN_OUT
from secateur.selection.groups import Pooled
from secateur.workers import SINGLE, Workers

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "hooks.md").read_text()
HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if inspect.isfunction(function) and hasattr(function, "secateur_spec")
}
HALF = {"kind": "one_shot", "final_sparsity": 0.5}


def section(hook: str) -> str:
    """Return what the page says of a hook."""
    return PAGE.partition(f"\n## {hook}\n")[2].partition("\n## ")[0]


def test_the_page_has_the_hooks_that_there_are_and_no_others():
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [*_in_page_order()]
    assert len(HOOKS) == 12


def _in_page_order() -> list[str]:
    return sorted(HOOKS, key=lambda hook: PAGE.find(f"\n## {hook}\n"))


@pytest.mark.parametrize("hook", HOOKS)
def test_the_exact_signature_of_every_hook_is_in_the_docs(hook):
    signature = str(inspect.signature(HOOKS[hook])).replace("'", "")
    assert f"```text\ndef {hook}{signature}\n```" in section(hook)


@pytest.mark.framework
@pytest.mark.parametrize("hook", HOOKS)
def test_the_examples_of_every_hook_use_it_and_run(hook, tmp_path):
    examples = re.findall(r"```python\n(.*?)```", section(hook), re.DOTALL)
    assert examples
    for code in examples:
        assert f"def {hook}(" in code
        assert "assert " in code
        env = {**os.environ, "PYTHONWARNINGS": "error"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_has_a_test_of_its_own(hook):
    assert callable(globals().get(f"test_{hook}"))


def test_the_built_ins_come_through_the_same_hooks():
    provided = registry().plugins["builtin"].provides
    for family in ("schedule", "criterion", "pattern", "distribution"):
        built_in = {
            kind
            for kind, component in registry().components(family).items()
            if component.__module__.startswith("secateur.")
        }
        assert built_in <= {part.partition(" ")[2] for part in provided}


def prune(array: np.ndarray, **settings: object) -> list[list[float]]:
    secateur.prune({"fc": array}, {"schedule": HALF, **settings})
    return array.tolist()


def test_secateur_schedules(registered):
    class Jump(secateur.Schedule):
        kind = "jump"
        final_sparsity: secateur.Sparsity
        at: secateur.Step = 1

        @property
        def final(self):
            return self.final_sparsity

        def sparsity(self, step):
            return self.final_sparsity if step >= self.at else 0.0

        def updates_at(self, step):
            return step == self.at

    class Plugin:
        @secateur.hookimpl
        def secateur_schedules(self):
            return [Jump]

    registered(Plugin())
    w = np.arange(1.0, 5.0).reshape(2, 2)
    policy = {"schedule": {"kind": "jump", "final_sparsity": 0.5, "at": "20%"}}
    pruner = secateur.attach({"fc": w}, policy, total_steps=10)
    pruner.step()
    assert np.count_nonzero(w) == 4
    pruner.step()
    assert w.tolist() == [[0, 0], [3, 4]]


def test_secateur_criteria(registered):
    class Inverse(secateur.Criterion):
        kind = "inverse"
        elementwise = True
        power: int = 1

        def score(self, weight, context):
            return -(np.abs(weight) ** self.power)

    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Inverse]

    registered(Plugin())
    assert prune(np.array([[1.0, -2.0, 3.0, -4.0]]), criterion="inverse") == [[1, -2, 0, 0]]
    with pytest.raises(secateur.PolicyError, match=r"policy: criterion.power: 1.5: input should"):
        secateur.Policy.parse({"schedule": HALF, "criterion": {"kind": "inverse", "power": 1.5}})


def test_secateur_patterns(registered):
    class Mirror(secateur.Pattern):
        """Column i and the last but i stay or go together."""

        kind = "mirror"

        def group(self, elements):
            scores = elements.array() + elements.array()[:, ::-1]
            alive = elements.previous
            half = scores.shape[1] // 2
            return Pooled(
                elements.spec, scores[:, :half], alive if alive is None else alive[:, :half]
            )

        def expand(self, kept, spec):
            return np.concatenate([kept, kept[:, ::-1]], axis=1)

    class Plugin:
        @secateur.hookimpl
        def secateur_patterns(self):
            return [Mirror]

    registered(Plugin())
    assert prune(np.array([[1.0, 5.0, 1.0, 9.0]]), pattern="mirror") == [[1, 0, 0, 9]]


def test_secateur_distributions(registered):
    class Alternating(secateur.Distribution):
        kind = "alternating"

        def targets(self, specs, sparsity):
            return [sparsity * (number % 2) for number, _ in enumerate(specs)]

    class Plugin:
        @secateur.hookimpl
        def secateur_distributions(self):
            return [Alternating]

    registered(Plugin())
    model = {"a": np.ones((2, 2)), "b": np.ones((2, 2))}
    report = secateur.prune(model, {"schedule": HALF, "distribution": "alternating"})
    assert [weight.kept for weight in report.weights] == [4, 2]


class Stored:
    @secateur.hookimpl
    def secateur_layer_weights(self, adapter, layer):
        if type(layer).__name__ != "Matrix":
            return None
        return [secateur.LayerWeight("values", "dense", layout=DENSE_IN_OUT)]


@pytest.mark.framework
def test_secateur_layer_weights(registered):
    import torch

    class Matrix(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.values = torch.nn.Parameter(torch.arange(1.0, 7.0).reshape(3, 2))

    registered(Stored())
    model = torch.nn.Sequential(Matrix())
    plan = secateur.plan(model, {"schedule": HALF})
    assert [(w.spec.name, w.spec.shape) for w in plan.weights] == [("0:kernel", (2, 3))]
    secateur.prune(model, {"schedule": HALF})
    assert model[0].values.tolist() == [[0, 0], [0, 4], [5, 6]]


@pytest.mark.framework
def test_secateur_layer_weights_in_keras(registered):
    import keras

    class Matrix(keras.layers.Layer):
        def build(self, shape):
            self.values = self.add_weight(shape=(3, 2), initializer="ones", name="values")

    registered(Stored())
    layer = Matrix(name="matrix")
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.values.assign(np.arange(1.0, 7.0).reshape(3, 2))
    secateur.prune(model, {"schedule": HALF})
    assert keras.ops.convert_to_numpy(layer.values).tolist() == [[0, 0], [0, 4], [5, 6]]


def test_secateur_adapters(registered):
    from secateur.numpy_adapter import NumpyAdapter

    class Pair(tuple):
        __slots__ = ()

    class PairAdapter(secateur.Adapter):
        name = "pair"

        def matches(self, model):
            return isinstance(model, Pair)

        def bind(self, model):
            return NumpyAdapter().bind({"left": model[0], "right": model[1]})

    class Plugin:
        @secateur.hookimpl
        def secateur_adapters(self):
            return [PairAdapter()]

    model = Pair((np.ones((2, 2)), np.ones((2, 4))))
    with pytest.raises(secateur.ModelError, match=r"no adapter knows a model of type .*Pair"):
        secateur.prune(model, {"schedule": HALF})
    with pytest.raises(secateur.ModelError, match=r"'m.keras' is a path .* the model first"):
        secateur.prune("m.keras", {"schedule": HALF})
    registered(Plugin())
    secateur.prune(model, {"schedule": HALF})
    assert [np.count_nonzero(array) for array in model] == [2, 4]
    policy = {"schedule": HALF, "rules": [{"match": {"name": {"pair": "left"}}}]}
    assert secateur.Policy.parse(policy).rules[0].match.globs("pair") == ("left",)


def test_secateur_exporters(registered, tmp_path):
    class Names(secateur.Exporter):
        kind = "names"

        def export(self, source, path):
            path.write_text(" ".join(f"{n}={mask.sum()}" for n, mask in source.masks.items()))

    class Plugin:
        @secateur.hookimpl
        def secateur_exporters(self):
            return [Names()]

    registered(Plugin())
    secateur.export({"a": np.eye(2), "b": np.ones((2, 2))}, tmp_path / "names", to="names")
    assert (tmp_path / "names").read_text() == "a=2 b=4"


def test_secateur_masks_updated(registered):
    events = []

    class Plugin:
        @secateur.hookimpl
        def secateur_masks_updated(self, event):
            events.append(event)

    registered(Plugin())
    report = secateur.prune({"fc": np.arange(4.0).reshape(2, 2)}, {"schedule": HALF})
    [event] = events
    assert (event.step, event.targets, event.fingerprint) == (0, {"fc": 0.5}, report.fingerprint)
    assert event.masks["fc"].tolist() == [[False, False], [True, True]]


CAPSULE = secateur.Kind("capsule", ranks=(4,), roles=("kernel", "vote"), out_axis=2, in_axis=3)


class Capsules:
    @secateur.hookimpl
    def secateur_kinds(self):
        return [CAPSULE]


def test_secateur_kinds(registered):
    weights = {"a": (np.arange(24.0).reshape(1, 2, 3, 4), "capsule"), "b": np.ones((2, 2))}
    policy = {
        "schedule": HALF,
        "rules": [{"match": {"kind": "capsule"}, "pattern": {"kind": "channel", "axis": "out"}}],
    }
    with pytest.raises(secateur.PolicyError, match="'capsule': input should be 'dense'"):
        secateur.Policy.parse(policy)
    secateur.register(Capsules(), "capsules")
    report = secateur.prune(weights, policy)
    kept = report.masks["a"].all(axis=(0, 1, 3))
    assert kept.tolist() == [False, True, True]  # two of three rows of the out axis
    assert [weight.kept for weight in report.weights] == [16, 4]
    assert secateur.LayerWeight("w", "capsule", "vote").role == "vote"
    secateur.unregister("capsules")
    with pytest.raises(secateur.ModelError, match="no kind 'capsule'"):
        secateur.plan(weights, {"schedule": HALF})


def test_secateur_workers(registered, monkeypatch):
    class Together(Workers):
        rank, count = 0, 1

        def total(self, numbers):
            return numbers

        def exchange(self, send_buffers):
            return list(send_buffers)

    class Plugin:
        @secateur.hookimpl
        def secateur_workers(self):
            return found

    found = None
    registered(Plugin())
    assert workers_of_this_run() is SINGLE
    found = Together()
    assert workers_of_this_run() is found


def test_secateur_commands(registered, capsys, monkeypatch):
    from secateur.cli import main

    class Plugin:
        def __init__(self, name):
            self.name = name

        @secateur.hookimpl
        def secateur_commands(self, app):
            @app.command(self.name)
            def hello(name: str) -> None:
                """Greet."""
                print(f"hello {name}")

    class Broken:
        @secateur.hookimpl
        def secateur_commands(self, app):
            raise RuntimeError("out of order")

    for plugin in (Plugin("hello"), Plugin("plan"), Broken()):
        registered(plugin)
    monkeypatch.setattr(sys, "argv", ["secateur", "hello", "you"])
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    assert (left.value.code, captured.out) == (0, "hello you\n")
    plan, broken = sorted(captured.err.splitlines())
    assert "'test 1'" in plan
    assert "there is a command 'plan' already" in plan
    assert "RuntimeError: out of order; its commands are left out" in broken


def test_secateur_page(registered, tmp_path):
    class Plugin:
        @secateur.hookimpl
        def secateur_page(self, recording, against, notes):
            return f"<p>{list(recording.weights)} {against} {notes}</p>"

    registered(Plugin())
    report = secateur.prune({"fc": np.ones((2, 2))}, {"schedule": HALF})
    assert report.to_html(tmp_path / "page.html") == "<p>['fc'] None ()</p>"
    assert (tmp_path / "page.html").read_text() == "<p>['fc'] None ()</p>"
