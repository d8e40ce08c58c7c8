"""Pictures of pruning: masks, schedules, sparsities, magnitudes, and an animation of a run.

Each picture is drawn by matplotlib on an `Axes` that is passed, or on a new figure, which is
returned. Nothing is shown, and no global state is changed. Colours can be told apart by everyone,
and in print.

>>> import numpy as np
>>> import secateur_plots
>>> figure = secateur_plots.plot_mask(np.eye(8))
>>> figure.savefig("/dev/null", format="png")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from secateur_plots.animation import animate as animate
    from secateur_plots.magnitudes import plot_magnitudes as plot_magnitudes
    from secateur_plots.masks import plot_mask as plot_mask
    from secateur_plots.masks import plot_masks as plot_masks
    from secateur_plots.schedules import plot_schedule as plot_schedule
    from secateur_plots.sparsities import plot_sparsity as plot_sparsity

_MODULE_OF = {
    "animate": "animation",
    "plot_magnitudes": "magnitudes",
    "plot_mask": "masks",
    "plot_masks": "masks",
    "plot_schedule": "schedules",
    "plot_sparsity": "sparsities",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    # The plugin is registered with every use of secateur, and matplotlib is slow to import.
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'secateur_plots' has no attribute {name!r}")
    try:
        return getattr(import_module(f"secateur_plots.{_MODULE_OF[name]}"), name)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in ("matplotlib", "PIL"):
            raise
        message = f'secateur_plots needs {missing}: pip install "secateur[plots]"'
        raise ModuleNotFoundError(message, name=missing) from None


def __dir__() -> list[str]:
    return __all__
