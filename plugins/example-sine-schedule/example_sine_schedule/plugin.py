"""What the entry point names: the hooks."""

from __future__ import annotations

import secateur
from example_sine_schedule.criterion import SteadySign
from example_sine_schedule.observer import log_masks
from example_sine_schedule.schedule import Sine

secateur_hook_version = 1  # optional: an older or newer secateur then says what to update


@secateur.hookimpl
def secateur_schedules() -> list[type[secateur.Schedule]]:
    return [Sine]


@secateur.hookimpl
def secateur_criteria() -> list[type[secateur.Criterion]]:
    return [SteadySign]


@secateur.hookimpl
def secateur_masks_updated(event: secateur.MasksUpdated) -> None:
    log_masks(event)
