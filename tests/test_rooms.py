"""Rooms of core import only the rooms below them, and what lies outside only the public surface."""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Collection, Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from importlib import import_module
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CORE = ROOT / "core"
LARGEST_FOLDER = 12
PUBLIC = {
    *("secateur", "secateur.adapter", "secateur.layout", "secateur.errors", "secateur.testing"),
}

_BASE = "errors layout kinds"
_SELECTION = f"adapter arrays {_BASE} workers"
_COMPONENTS = f"{_SELECTION} selection"
_POLICY = f"adapter {_BASE} hooks components files tables"
ARROWS = {
    room: set(below.split())
    for room, below in {
        "errors": "",
        "layout": "",
        "kinds": "",
        "files": "",
        "tables": "",
        "version": "",
        "arrays": "layout",
        "workers": "layout",
        "adapter": f"arrays {_BASE} workers",
        "numpy_adapter": f"adapter arrays {_BASE}",
        "selection": _SELECTION,
        "checkpoints": f"adapter arrays {_BASE} numpy_adapter files",
        "components": _COMPONENTS,
        "hooks": f"adapter {_BASE} numpy_adapter components version",
        "masks": f"{_COMPONENTS} components",
        "policy": _POLICY,
        "recording": f"adapter {_BASE} checkpoints components files hooks version",
        "exports": f"adapter {_BASE} hooks files tables",
        "packing": f"adapter arrays {_BASE} files checkpoints tables",
        "shipping": f"adapter arrays {_BASE} files tables hooks checkpoints packing",
        "run": f"{_POLICY} {_COMPONENTS} checkpoints masks policy packing recording version",
        "streaming": f"adapter arrays {_BASE} checkpoints files hooks masks run workers",
        "compare": f"adapter arrays checkpoints {_BASE} components hooks policy run tables",
        "targets": f"{_COMPONENTS} components masks hooks policy run tables",
        "verification": (
            f"{_COMPONENTS} components checkpoints hooks masks policy run shipping tables"
        ),
        "review": f"{_COMPONENTS} components hooks policy run tables",
        "api": "errors hooks policy run",
    }.items()
}
"""Each room of core, or file at its top, and what it may import; others may import all of it."""
FREE = {"", "cli", "testing", "__main__"}
LOADERS = {"import_module", "__import__"}


@cache
def imports(text: str, package: str) -> frozenset[str]:
    """Return what a module of a package imports: for typing, in functions, by importlib, too."""
    return frozenset(_imports(text, package))


def _imports(text: str, package: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package)
            yield from (f"{source}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args and _called(node) in LOADERS:
            name = node.args[0].value if isinstance(node.args[0], ast.Constant) else "secateur"
            yield resolve_name(name, package)  # a computed name may be any part of the package


def _called(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def name_of(path: Path, root: Path) -> str:
    """Return the dotted name of a file below a source root."""
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def graph(root: Path) -> dict[str, set[str]]:
    """Return which of the modules below a source root import which."""
    paths = {name_of(path, root): path for path in sorted(root.rglob("*.py"))}
    return {name: _targets(path, root, paths) - {name} for name, path in paths.items()}


def _targets(path: Path, root: Path, known: Collection[str]) -> set[str]:
    package = ".".join(path.parent.relative_to(root).parts)
    return {
        name if name in known else name.rpartition(".")[0]
        for name in imports(path.read_text(), package)
        if name in known or name.rpartition(".")[0] in known
    }


def room(module: str) -> str:
    """Return the room of a module of core."""
    return module.removeprefix("secateur").lstrip(".").partition(".")[0]


def upward(root: Path) -> list[str]:
    """Return every import of core that goes to a room which is not below."""
    return [
        f"{module} imports {target}"
        for module, targets in graph(root).items()
        for target in targets
        if room(module) not in FREE
        and room(target) != room(module)
        and room(target) not in ARROWS[room(module)]
    ]


def circle(root: Path) -> list[str]:
    """Return the modules of a circle of imports below a source root, if there is one."""
    found = graph(root)
    for module, targets in found.items():
        # the package itself loads names on demand, and imports its parts for typing only
        found[module] = targets - {"secateur"} if module != "secateur" else set()
    try:
        TopologicalSorter(found).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_every_import_of_core_goes_to_a_room_below() -> None:
    assert not upward(CORE)


@pytest.mark.parametrize("root", ["core", "adapters", "plugins"])
def test_no_imports_run_in_a_circle(root: str) -> None:
    assert not circle(ROOT / root)


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("selection/groups.py", "from secateur.hooks.registry import registry"),
        ("masks/compute.py", "def f():\n    from secateur.policy.policy import Policy"),
        ("layout/layouts.py", "import secateur.errors"),
        ("arrays/chunks.py", "if TYPE_CHECKING:\n    from secateur.adapter import Weight"),
        ("selection/groups.py", "from ..policy.policy import Policy"),
        ("selection/ties/__init__.py", "from ... import api"),
        ("masks/compute.py", "def f():\n    import_module('secateur.hooks.registry')"),
        ("masks/compute.py", "importlib.import_module('..hooks', __package__)"),
        ("components/component.py", "__import__(f'secateur.{room}')"),
    ],
)
def test_a_planted_upward_import_is_found(tmp_path: Path, module: str, line: str) -> None:
    shutil.copytree(CORE, tmp_path / "core")
    planted = tmp_path / "core" / "secateur" / module
    planted.write_text(planted.read_text() + f"\n{line}\n")
    (found,) = upward(tmp_path / "core")
    importer = name_of(Path("secateur") / module, Path())
    assert found.startswith(f"{importer} imports secateur")


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    shutil.copytree(CORE, tmp_path / "core")
    planted = tmp_path / "core/secateur/selection/context.py"
    planted.write_text(f"{planted.read_text()}\nfrom secateur.selection import elements\n")
    assert {"secateur.selection.context", "secateur.selection.elements"} <= set(
        circle(tmp_path / "core")
    )


def test_every_room_has_its_arrows_and_no_folder_is_crowded() -> None:
    rooms = {room(name) for name in graph(CORE)}
    assert rooms == {*ARROWS, *FREE - {"__main__"}} | ({"__main__"} & rooms)
    for folder in (CORE / "secateur").rglob("*"):
        if folder.is_dir():
            files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
            assert len(files) <= LARGEST_FOLDER, folder


def test_the_tree_for_contributors_shows_every_room() -> None:
    tree = (ROOT / "CONTRIBUTING.md").read_text().partition("## The tree")[2].split("```")[1]
    shown = set(re.findall(r"(\w+)/", tree))
    rooms = {path.parent.name for path in (CORE / "secateur").glob("*/__init__.py")}
    assert shown >= rooms
    assert shown - rooms == {"core", "secateur", "adapters", "plugins", "tests", "docs"}


CODE = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def sources() -> Iterator[tuple[str, str]]:
    """Yield the name and the code of all that may use the public surface only."""
    for folder in ("adapters", "plugins", "docs"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for block in CODE.findall(path.read_text()):
            yield str(path.relative_to(ROOT)), block


def private(code: str) -> list[str]:
    """Return what some code uses of secateur that is not on its public surface."""
    return [
        name
        for name in {*imports(code, "outside"), *_attributes(code)}
        if name.partition(".")[0] == "secateur" and name not in _public()
    ]


def _attributes(code: str) -> Iterator[str]:
    """Yield what is taken of the package by a dot, such as `secateur.plan`."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "secateur":
            yield f"secateur.{node.attr}"


@cache
def _public() -> set[str]:
    modules = {name: import_module(name) for name in PUBLIC}
    names = {f"{name}.{known}" for name, module in modules.items() for known in module.__all__}
    return {*PUBLIC, *names}


def test_adapters_plugins_and_docs_import_the_public_surface_alone() -> None:
    found = {name: bad for name, code in sources() if (bad := private(code))}
    assert not found


@pytest.mark.parametrize(
    "line",
    [
        "from secateur.hooks.registry import registry",
        "import secateur.run.pruner",
        "from secateur.adapter import binding",
        "import secateur.layout.layouts",
        "import_module('secateur.run.pruner')",
        "secateur.run.pruner.Pruner",
    ],
)
def test_a_private_import_is_found(line: str) -> None:
    assert private(line)
