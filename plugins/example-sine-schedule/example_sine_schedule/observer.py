"""The observer: one line in the log each time that masks change."""

from __future__ import annotations

import logging

import secateur

log = logging.getLogger("example_sine_schedule")


def log_masks(event: secateur.MasksUpdated) -> None:
    """Log the step and the sparsity of the weights whose masks are new."""
    size = sum(mask.size for mask in event.masks.values())
    kept = sum(int(mask.sum()) for mask in event.masks.values())
    log.info("step %d: %d of %d weights kept", event.step, kept, size)
