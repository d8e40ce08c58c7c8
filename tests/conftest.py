"""Options of the whole suite."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "flax")
COMPILED = {
    "JAX_COMPILATION_CACHE_DIR": str(HERE.parent / ".jax_cache"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
"""What XLA compiled for one test serves the others, in every process."""
os.environ |= {name: value for name, value in COMPILED.items() if name not in os.environ}
WITHOUT_FRAMEWORKS = tuple(
    HERE / name for name in ("core", "packing", "policies", "plugins", "cli")
)
OWN_ENVIRONMENTS = tuple(HERE / name for name in ("exports", "trackers", "trainers", "tfmot"))
"""Folders whose tests need an environment of their own: see the Makefile."""
SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("quick", max_examples=20, deadline=None)
settings.register_profile("all", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "thorough", max_examples=10_000, deadline=None, suppress_health_check=SLOW_TO_DRAW
)


def pytest_addoption(parser):
    parser.addoption("--all", action="store_true", help="every test and case, as in CI")
    parser.addoption(
        "--thorough", action="store_true", help="10,000 examples for each property, and more cases"
    )


def pytest_configure(config):
    if not config.getoption("--hypothesis-profile"):
        asked = [name for name in ("thorough", "all") if config.getoption(f"--{name}")]
        settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", [*asked, "quick"][0]))


def pytest_ignore_collect(collection_path, config):
    """Leave out what needs an environment of its own, unless the command line names it."""
    if collection_path not in OWN_ENVIRONMENTS:
        return None
    named = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    return None if any(path.is_relative_to(collection_path) for path in named) else True


def pytest_collection_modifyitems(config, items):
    if config.getoption("--thorough"):
        return
    numbers = Counter()
    left_out = {item for item in items if _only_thorough(item)}
    if not (config.getoption("--all") or config.option.markexpr or _named(config)):
        left_out |= {item for item in items if _only_in_ci(item, numbers)}
    if left_out:
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]


def _named(config):
    """Return whether the command line names a file or a test, all of which then runs."""
    return any("::" in argument or argument.endswith(".py") for argument in config.args)


def _only_in_ci(item, numbers):
    """Return whether a test of a folder is left out unless `--all` or `-m` asks for it."""
    if sampled := item.get_closest_marker("sampled"):
        function = item.nodeid.partition("[")[0]
        numbers[function] += 1
        if (numbers[function] - 1) % sampled.args[0]:
            return True
    return bool(item.get_closest_marker("slow") or item.get_closest_marker("framework"))


def _only_thorough(item):
    if item.get_closest_marker("any_backend"):
        return os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    return item.get_closest_marker("thorough") is not None


def pytest_collection_finish():
    gc.freeze()  # what tests import lives to the end: the collector need not look at it


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    """Let the tests of core import no framework, even where another test has imported one.

    Only tests that are marked `framework` may.
    """
    core = any(item.path.is_relative_to(folder) for folder in WITHOUT_FRAMEWORKS)
    if not core or item.get_closest_marker("framework"):
        return (yield)
    # not mock.patch.dict, which would take out what the test is the first to import
    imported = {name: sys.modules[name] for name in FRAMEWORKS if name in sys.modules}
    sys.modules.update(dict.fromkeys(FRAMEWORKS))
    try:
        return (yield)
    finally:
        for name in FRAMEWORKS:
            del sys.modules[name]
        sys.modules.update(imported)
