"""The hook that makes a page of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from secateur import PluginError, hookimpl

if TYPE_CHECKING:
    from secateur import Recording

_NEEDED = ("jinja2", "vl_convert")


@hookimpl
def secateur_page(recording: Recording, against: Recording | None, notes: Sequence[str]) -> str:
    try:
        from secateur_page.page import render
    except ModuleNotFoundError as error:
        if error.name not in _NEEDED:
            raise
        raise PluginError(
            'a report page needs Jinja2 and vl-convert-python: pip install "secateur[page]"'
        ) from error
    return render(recording, against, notes)
