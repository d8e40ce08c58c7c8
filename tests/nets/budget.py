"""How often the nets are cast: a few hundred times in CI, for long by ``make fuzz``."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

NET = settings(
    max_examples=int(os.environ.get("SECATEUR_FUZZ", "200")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
