"""Every example in a docstring runs, and everything public is documented in full."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
import re
from importlib import import_module

import pytest
import torch  # noqa: F401  # before Keras may load TensorFlow

PACKAGES = (
    *("secateur", "secateur_flax", "secateur_keras", "secateur_onnx", "secateur_torch"),
    *("secateur_exports", "secateur_page", "secateur_plots", "secateur_report"),
    "secateur_tensorboard",
)
SURFACE = (
    *("secateur", "secateur.adapter", "secateur.errors", "secateur.layout", "secateur.testing"),
    *("secateur_page", "secateur_plots", "secateur_report", "secateur_tensorboard"),
    *("secateur_keras.tfmot", "secateur_keras.tfmot.sparsity.keras", "secateur_torch.compat.prune"),
)


def modules() -> list[str]:
    found = []
    for name in PACKAGES:
        package = import_module(name)
        found.append(name)
        inner = pkgutil.walk_packages(package.__path__, f"{name}.")
        found += [module.name for module in inner if not module.name.endswith("__main__")]
    return found


@pytest.mark.parametrize("name", modules())
def test_examples_of_a_module_run(name: str) -> None:
    failures, _ = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert failures == 0


def surface() -> dict[str, object]:
    """Return every class and function of the public surface, once, by its dotted name."""
    found: dict[int, tuple[str, object]] = {}
    for name in SURFACE:
        module = import_module(name)
        for public in module.__all__:
            thing = getattr(module, public)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                found.setdefault(id(thing), (f"{name}.{public}", thing))
    return dict(found.values())


def missing(thing: object) -> list[str]:
    """Return what the docstrings of a class or function lack."""
    text = inspect.getdoc(thing) or ""
    lacks = [] if ">>> " in text else ["an example"]
    if not inspect.isclass(thing):
        return lacks + _lacks_of_function(thing)
    for name, member in vars(thing).items():
        if isinstance(member, (classmethod, staticmethod)):
            member = member.__func__
        if name.startswith("_") or not (inspect.isfunction(member) or isinstance(member, property)):
            continue
        if not inspect.getdoc(getattr(thing, name)):
            lacks.append(f"{name}: a docstring")
        elif inspect.isfunction(member) and member.__doc__:  # inherited text stands in the base
            lacks += [f"{name}: {what}" for what in _lacks_of_function(member)]
    return lacks


def _lacks_of_function(function: object) -> list[str]:
    text = inspect.getdoc(function) or ""
    signature = inspect.signature(function)  # type: ignore[arg-type]
    arguments = [name for name in signature.parameters if name not in ("self", "cls")]
    lacks = [
        f"Args: {name}"
        for name in arguments
        if not re.search(rf"^ +\*{{0,2}}{re.escape(name)}: ", text, re.MULTILINE)
    ]
    returns = signature.return_annotation not in (None, "None", signature.empty)
    if returns and not re.search(
        r"^Returns:|^Yields:|^(Return|Yield|Open|Make)", text, re.MULTILINE
    ):
        lacks.append("Returns")
    raises = re.search(
        r"^\s+raise (?!NotImplementedError)\w+", inspect.getsource(function), re.MULTILINE
    )  # type: ignore[arg-type]
    if raises and "Raises:" not in text:
        lacks.append("Raises")
    return lacks


@pytest.mark.parametrize("name", surface())
def test_a_public_name_says_what_it_takes_gives_and_raises_with_an_example(name: str) -> None:
    thing = surface()[name]
    if inspect.isclass(thing) and issubclass(thing, Exception):
        assert inspect.getdoc(thing)
    else:
        assert not missing(thing)


def test_what_a_docstring_lacks_is_found() -> None:
    def bare(count: int) -> int:
        """Double a number."""
        if count < 0:
            raise ValueError
        return 2 * count

    assert missing(bare) == ["an example", "Args: count", "Returns", "Raises"]
