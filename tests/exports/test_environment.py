"""The environment holds the versions that are pinned."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

PINNED = Path(__file__).with_name("requirements.txt")


def test_every_pinned_package_is_installed_in_its_version() -> None:
    lines = [line for line in PINNED.read_text().splitlines() if "==" in line]
    pinned = dict(line.split("==") for line in lines)
    assert pinned == {name: version(name).partition("+")[0] for name in pinned}
