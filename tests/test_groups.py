"""Tests that share a costly fixture run on one worker: versions of pytest and xdist differ here."""

from __future__ import annotations

import os

import pytest


@pytest.mark.xdist_group("together")
def test_a_group_is_seen_by_the_scheduler(request: pytest.FixtureRequest) -> None:
    assert request.node.nodeid.endswith("@together") == ("PYTEST_XDIST_WORKER" in os.environ)
