"""Options of the whole suite."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

SLOW_TO_DRAW = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("default", max_examples=500, deadline=None, print_blob=True)
settings.register_profile(
    "thorough", max_examples=10_000, deadline=None, suppress_health_check=SLOW_TO_DRAW
)
settings.register_profile("quick", max_examples=25, deadline=None)


def pytest_addoption(parser):
    parser.addoption("--thorough", action="store_true", help="10,000 examples for each property")


def pytest_configure(config):
    if not config.getoption("--hypothesis-profile"):
        profile = os.environ.get("HYPOTHESIS_PROFILE", "default")
        settings.load_profile("thorough" if config.getoption("--thorough") else profile)
