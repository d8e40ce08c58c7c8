"""Importing secateur stays light, and imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FRAMEWORKS = ("torch", "tensorflow", "keras", "jax", "flax")
LAZY = ("typer", "rich", "yaml", "safetensors")
EXTRAS = (
    "matplotlib",
    "PIL",
    "tensorboard",
    "jinja2",
    "vl_convert",
    "onnx",
    "h5py",
    *LAZY,
    *FRAMEWORKS,
)


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules of a fresh process that has run the code."""
    report = "import sys; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{report}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_secateur_loads_no_framework_and_no_heavy_package() -> None:
    assert loaded_after("import secateur").isdisjoint((*FRAMEWORKS, *LAZY))


def test_loading_every_plugin_loads_no_framework() -> None:
    code = "from secateur.hooks.registry import registry; assert len(registry().adapters()) >= 3"
    assert loaded_after(code).isdisjoint(FRAMEWORKS)


def test_plugins_load_where_the_packages_of_their_extras_are_missing() -> None:
    code = (
        f"import sys, warnings; sys.modules |= dict.fromkeys({EXTRAS!r}); "
        "warnings.simplefilter('error'); from secateur.hooks.registry import registry; "
        "assert {'plots', 'page', 'report'} <= registry().plugins.keys()"
    )
    loaded_after(code)


def test_pruning_a_mapping_of_arrays_loads_no_framework() -> None:
    code = (
        "import numpy, secateur; secateur.prune({'fc': numpy.ones((4, 4))}, "
        "{'schedule': {'kind': 'one_shot', 'final_sparsity': 0.5}})"
    )
    assert loaded_after(code).isdisjoint((*FRAMEWORKS, *LAZY))


def test_the_tests_of_core_are_collected_without_a_framework() -> None:
    """Each test forbids imports itself; here it is shown that the files and fixtures need none."""
    folders = [f"tests/{name}" for name in ("core", "policies", "plugins", "cli")]
    options = ["--collect-only", "-q", "-p", "no:cacheprovider", "-m", "not framework"]
    code = f"""
import sys
sys.modules |= dict.fromkeys({FRAMEWORKS!r})
import pytest
assert pytest.main({[*folders, *options]!r}) == 0
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_that_is_public_can_be_imported() -> None:
    import secateur

    for name in secateur.__all__:
        assert getattr(secateur, name) is not None
    assert set(dir(secateur)) == set(secateur.__all__)


def imports_of(folder: Path) -> set[str]:
    """Return the top-level modules that the files of a folder import, wherever they do so."""
    found: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


ADAPTERS = sorted(path.name for path in (ROOT / "adapters").glob("secateur_*"))


def test_core_imports_no_adapter_and_no_plugin() -> None:
    imported = imports_of(ROOT / "core")
    assert not {name for name in imported if name.startswith("secateur_")}


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_adapter_imports_no_other_adapter(adapter: str) -> None:
    imported = imports_of(ROOT / "adapters" / adapter)
    assert not {name for name in imported if name.startswith("secateur_")} - {adapter}
