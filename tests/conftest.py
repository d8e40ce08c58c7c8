"""Options of the whole suite."""

from __future__ import annotations

import os
import sys
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
OWN_ENVIRONMENTS = (HERE / "exports", HERE / "trackers")
"""Folders whose tests need an environment of their own: see the Makefile."""
SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", max_examples=100, deadline=None, print_blob=True)
settings.register_profile(
    "thorough", max_examples=10_000, deadline=None, suppress_health_check=SLOW_TO_DRAW
)
settings.register_profile("quick", max_examples=25, deadline=None)


def pytest_addoption(parser):
    parser.addoption(
        "--thorough", action="store_true", help="10,000 examples for each property, and more cases"
    )


def pytest_configure(config):
    if not config.getoption("--hypothesis-profile"):
        profile = os.environ.get("HYPOTHESIS_PROFILE", "default")
        settings.load_profile("thorough" if config.getoption("--thorough") else profile)


def pytest_ignore_collect(collection_path, config):
    """Leave out what needs an environment of its own, unless the command line names it."""
    if collection_path not in OWN_ENVIRONMENTS:
        return None
    named = [config.invocation_params.dir / arg.partition("::")[0] for arg in config.args]
    return None if any(path.is_relative_to(collection_path) for path in named) else True


def pytest_collection_modifyitems(config, items):
    if config.getoption("--thorough"):
        return
    left_out = [item for item in items if _only_thorough(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not _only_thorough(item)]


def _only_thorough(item):
    if item.get_closest_marker("any_backend"):
        return os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow"
    return item.get_closest_marker("thorough") is not None


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
