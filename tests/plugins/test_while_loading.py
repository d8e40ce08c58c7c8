"""Plugins that use secateur while they are loaded, and threads that register while others read."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

import secateur
from secateur.errors import PluginError
from secateur.hooks.registry import registry

pytestmark = pytest.mark.slow  # many start a process

HALF = {"kind": "one_shot", "final_sparsity": 0.5}
POLICY = {"schedule": HALF}

PARTS = """
import numpy as np
import secateur

class {kind}(secateur.Criterion):
    kind = "{kind}"
    elementwise = True

    def score(self, weight, context):
        return np.abs(weight)

class Plugin:
    @secateur.hookimpl
    def secateur_criteria(self):
        return [{kind}]
"""
HOOK = """
@secateur.hookimpl
def secateur_criteria():
    return [{kind}]
"""
MODULES = {
    "registers_another": (
        PARTS.format(kind="other") + "secateur.register(Plugin(), 'other')\n"
        + PARTS.format(kind="own") + HOOK.format(kind="own"),
        ["other", "own"],
    ),
    "registers_another_in_a_hook": (
        PARTS.format(kind="other") + PARTS.format(kind="own").replace("class Plugin", "class Two")
        + "@secateur.hookimpl\ndef secateur_criteria():\n"
        "    secateur.register(Other(), 'other')\n    return [own]\n"
        "class Other:\n    @secateur.hookimpl\n    def secateur_criteria(self):\n"
        "        return [other]\n",
        ["other", "own"],
    ),
    "reads_a_policy": (
        PARTS.format(kind="own")
        + f"POLICY = secateur.Policy.parse({POLICY})\n"
        + HOOK.format(kind="own"),
        ["own"],
    ),
    "reads_a_policy_in_a_hook": (
        PARTS.format(kind="own")
        + "@secateur.hookimpl\ndef secateur_criteria():\n    secateur.Policy.load('cnn-80')\n"
        "    return [own]\n",
        ["own"],
    ),
    "prunes": (
        PARTS.format(kind="own")
        + f"secateur.prune({{'w': np.eye(4)}}, {POLICY})"
        + HOOK.format(kind="own"),
        ["own"],
    ),
    "registers_and_removes": (
        PARTS.format(kind="other") + "secateur.register(Plugin(), 'x')\nsecateur.unregister('x')\n"
        + PARTS.format(kind="own") + HOOK.format(kind="own"),
        ["own"],
    ),
}  # fmt: skip
USE = """
import numpy as np, secateur
from secateur.hooks.registry import registry
for kind in {kinds}:
    policy = {{"schedule": {{"kind": "one_shot", "final_sparsity": 0.5}}, "criterion": kind}}
    assert secateur.prune({{"w": np.arange(16.0).reshape(4, 4)}}, policy).sparsity == 0.5
assert not registry().failed, registry().failed
assert "team" in registry().plugins
"""


def python(tmp_path, code, fails=False):
    """Run code in a new process that finds the distributions of a folder; warnings are errors."""
    path = os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert bool(done.returncode) == fails, done.stderr
    return done.stderr


@pytest.mark.sampled(7)
@pytest.mark.parametrize("case", MODULES)
@pytest.mark.parametrize("first", ["", "import team_plugin", "import secateur; secateur.Policy"])
def test_a_plugin_may_use_secateur_while_it_is_loaded(install, tmp_path, case, first):
    code, kinds = MODULES[case]
    install("team-plugin", "team", code)
    python(tmp_path, f"{first}\n{USE.format(kinds=kinds)}")


def test_a_policy_that_needs_the_plugin_whose_import_is_not_finished_says_so(install, tmp_path):
    policy = {**POLICY, "criterion": "own"}
    code = PARTS.format(kind="own") + f"secateur.Policy.parse({policy})\n" + HOOK.format(kind="own")
    install("team-plugin", "team", code)
    error = python(tmp_path, "import team_plugin", fails=True)
    assert "no criterion 'own'" in error
    assert "Still being imported: 'team' of team-plugin 1.0" in error
    error = python(tmp_path, "import secateur; secateur.Policy.load('cnn-80')", fails=True)
    assert "plugin 'team' of team-plugin 1.0 was left out: PolicyError" in error


@pytest.mark.sampled(2)
@pytest.mark.parametrize("first", ["registry()", "import team_plugin"])
def test_a_module_whose_import_fails_after_it_registered_another_is_left_out(
    install, tmp_path, first
):
    install("team-plugin", "team", PARTS.format(kind="x") + "secateur.register(Plugin(), 'x')\n1/0")
    code = f"""
import warnings
from secateur.errors import PluginWarning
from secateur.hooks.registry import registry
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    try:
        {first}
    except ZeroDivisionError:
        pass
    registry(), registry()
(warning,) = caught
assert "'team' of team-plugin 1.0 was left out" in str(warning.message)
assert "x" in registry().components("criterion")
assert [plugin.name for plugin in registry().failed] == ["team"]
"""
    python(tmp_path, code)


def test_strict_mode_refuses_each_use_until_the_plugin_is_fixed(install, tmp_path):
    install("team-a", "a", "import secateur; secateur.Policy.load('cnn-80')\n1 / 0")
    code = """
import secateur
for _ in range(3):
    try:
        secateur.Policy.load("cnn-80")
    except secateur.PluginError as error:
        assert "plugin 'a' of team-a 1.0: ZeroDivisionError" in str(error), error
    else:
        raise AssertionError
"""
    python(tmp_path, "import os; os.environ['SECATEUR_STRICT_PLUGINS'] = 'yes'\n" + code)


def test_a_late_plugin_that_fails_raises_once_where_warnings_are_errors(install, tmp_path):
    install("team-plugin", "team", "import secateur; secateur.Policy.load('cnn-80')\n1 / 0")
    code = """
from secateur.hooks.registry import registry
for _ in range(2):
    try:
        import team_plugin
    except ZeroDivisionError:
        break
try:
    registry()
except Warning:
    assert [plugin.name for plugin in registry().failed] == ["team"]
else:
    raise AssertionError
"""
    python(tmp_path, code)


def test_a_plugin_that_registers_itself_in_its_hook_is_refused(registered):
    class Endless:
        @secateur.hookimpl
        def secateur_criteria(self):
            secateur.register(self, "again")
            return []

    plugin = Endless()
    with pytest.raises(PluginError, match="one of its own hooks registers it"):
        secateur.register(plugin, "endless")
    assert not {"endless", "again"} & set(registry().plugins)


def test_an_observer_may_unregister_itself(registered):
    seen = []

    class Once:
        @secateur.hookimpl
        def secateur_masks_updated(self, event):
            seen.append(event.step)
            secateur.unregister("once")

    secateur.register(Once(), "once")
    policy = {"schedule": {"kind": "constant", "final_sparsity": 0.5, "frequency": 1}}
    pruner = secateur.attach({"w": np.arange(16.0).reshape(4, 4)}, policy)
    pruner.step()
    assert seen == [0]


def test_an_observer_that_unregisters_itself_and_fails_is_still_named():
    class Leaving:
        @secateur.hookimpl
        def secateur_masks_updated(self, event):
            secateur.unregister("leaving")
            raise OSError("disk full")

    secateur.register(Leaving(), "leaving")
    with pytest.raises(PluginError, match=r"plugin 'leaving', secateur_masks_updated.*disk full"):
        secateur.prune({"w": np.ones((4, 4))}, {"schedule": HALF})


def plugin(number):
    """Return a plugin with one part of each kind of table."""

    class Largest(secateur.Criterion):
        kind = f"largest_{number}"

        def score(self, weight, context):
            return np.abs(weight)

    class Plugin:
        @secateur.hookimpl
        def secateur_criteria(self):
            return [Largest]

        @secateur.hookimpl
        def secateur_kinds(self):
            return [secateur.Kind(f"kind_{number}", ranks=(2,), roles=(f"role_{number}",))]

        @secateur.hookimpl
        def secateur_masks_updated(self, event): ...

    return Plugin()


def test_register_and_unregister_while_other_threads_make_policies():
    errors = []
    done = threading.Event()

    def churn(number):
        for _ in range(60):
            secateur.register(plugin(number), f"churn {number}")
            secateur.unregister(f"churn {number}")

    def read():
        policy = {"schedule": HALF, "rules": [{"match": {"kind": "dense", "role": "kernel"}}]}
        while not done.is_set():
            secateur.prune({"w": np.ones((4, 4))}, policy)
            with pytest.raises(secateur.PolicyError):
                secateur.Policy.parse({"schedule": HALF, "criterion": "largest"})
            secateur.Policy.parse({"schedule": HALF}).to_dict()

    def guarded(work, *args):
        try:
            work(*args)
        except BaseException as error:
            errors.append(error)

    readers = [threading.Thread(target=guarded, args=(read,)) for _ in range(3)]
    writers = [threading.Thread(target=guarded, args=(churn, n)) for n in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        for thread in readers + writers:
            thread.start()
        for thread in writers:
            thread.join()
    finally:
        done.set()
        sys.setswitchinterval(interval)
    for thread in readers:
        thread.join()
    assert not errors
    assert not [name for name in registry().plugins if name.startswith("churn")]


def test_threads_that_ask_first_get_one_registry(install, tmp_path):
    install("team-plugin", "team", "import time; time.sleep(0.2)\n" + MODULES["prunes"][0])
    code = """
import threading, secateur
from secateur.hooks.registry import registry
found = []
threads = [threading.Thread(target=lambda: found.append(registry())) for _ in range(8)]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
assert len(set(map(id, found))) == 1 and "team" in found[0].plugins
"""
    python(tmp_path, code)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", ["team_plugin", "team_parts"])
def test_an_import_in_another_thread_and_the_first_policy_do_not_wait_for_each_other(
    install, tmp_path, name
):
    slow = (
        PARTS.format(kind="x") + "import time; time.sleep(0.5)\nsecateur.register(Plugin(), 'x')\n"
    )
    (tmp_path / "team_parts.py").write_text(slow)
    code = "import team_parts\n" + PARTS.format(kind="own") + HOOK.format(kind="own")
    install("team-plugin", "team", code)
    code = f"""
import threading, time, secateur
secateur.Policy
other = threading.Thread(target=lambda: __import__({name!r}), daemon=True)
other.start()
time.sleep(0.2)
policy = {{**{POLICY!r}, "criterion": "own"}}
mine = threading.Thread(target=lambda: secateur.Policy.parse(policy), daemon=True)
mine.start()
mine.join(20), other.join(20)
assert not mine.is_alive() and not other.is_alive()
secateur.Policy.parse(policy), secateur.Policy.parse({{**policy, "criterion": "x"}})
"""
    python(tmp_path, code)


def test_a_part_outlives_its_plugin():
    class Named:
        @secateur.hookimpl
        def secateur_kinds(self):
            return [secateur.Kind("leaving", ranks=(2,))]

        @secateur.hookimpl
        def secateur_criteria(self):
            return plugin("leaving").secateur_criteria()

    secateur.register(Named(), "leaving")
    model = {"w": (np.arange(16.0).reshape(4, 4), "leaving")}
    schedule = {"kind": "linear", "final_sparsity": 0.5, "end_step": 2, "frequency": 1}
    policy = {"schedule": schedule, "criterion": "largest_leaving", "pattern": "channel"}
    pruner = secateur.attach(model, policy)
    secateur.unregister("leaving")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pruner.step()
        pruner.step()
    assert pruner.report().sparsity == 0.5
