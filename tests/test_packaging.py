"""What the wheel holds, and what the top level of the repository does."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {
    *("secateur", "secateur_flax", "secateur_keras", "secateur_onnx", "secateur_torch"),
    "secateur_exports",
    *("secateur_page", "secateur_plots", "secateur_report", "secateur_tensorboard"),
}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (file,) = folder.glob("secateur-*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.partition("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == PACKAGES


def test_the_wheel_holds_types_licence_and_ready_policies(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(
        name.startswith("secateur/policy/ready/") and name.endswith(".toml") for name in names
    )
    assert "secateur/targets/data/ethos-u55.toml" in names
    assert not [name for name in names if "test_" in name or name.endswith(".pyc")]


def test_the_top_level_holds_what_the_design_says() -> None:
    allowed = {
        *("pyproject.toml", "README.md", "core", "adapters", "plugins", "tests", "docs"),
        *("LICENSE", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "Makefile"),
        *("CITATION.cff", "RELEASING.md", "changelog.d", "constraints.txt"),
    }
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tops = {name.partition("/")[0] for name in listed.stdout.splitlines()}
    assert {top for top in tops if not top.startswith(".")} <= allowed
