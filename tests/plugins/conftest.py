"""Distributions made of a few lines, as pip would install them, and registries that find them."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import secateur
from secateur.hooks.registry import Registry

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Write a distribution with one module and one entry point onto the path."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = set()

    def write(distribution: str, entry: str, code: str, version: str = "1.0") -> None:
        module = distribution.replace("-", "_")
        modules.add(module)
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Name: {distribution}\nVersion: {version}\n")
        (info / "entry_points.txt").write_text(f"[secateur]\n{entry} = {module}\n")

    yield write
    for name in modules:
        sys.modules.pop(name, None)


@pytest.fixture
def load() -> Callable[[], Registry]:
    """Load a registry of its own, as a new process would."""

    def make() -> Registry:
        registry = Registry()
        registry.load()
        return registry

    return make


@pytest.fixture
def registered() -> Iterator[Callable[[object], None]]:
    """Register plugins in code for one test."""
    names: list[str] = []

    def register(plugin: object) -> None:
        name = f"test {len(names)}"
        secateur.register(plugin, name)
        names.append(name)

    yield register
    for name in names:
        secateur.unregister(name)


SINE = """
    import math
    import secateur

    class Sine(secateur.Gradual):
        kind = "{kind}"

        def curve(self, progress):
            return self.final_sparsity * math.sin(progress * math.pi / 2)

    @secateur.hookimpl
    def secateur_schedules():
        return [Sine]
"""


@pytest.fixture
def sine() -> Callable[[str], str]:
    """Return the code of a plugin with one schedule."""
    return lambda kind="sine": SINE.format(kind=kind)
