"""Every example in a docstring runs, and everything public has a docstring."""

from __future__ import annotations

import doctest
import inspect
import pkgutil
from importlib import import_module

import pytest
import torch  # noqa: F401  # before Keras may load TensorFlow

import secateur

PACKAGES = ("secateur", "secateur_flax", "secateur_keras", "secateur_report", "secateur_torch")


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


@pytest.mark.parametrize("name", sorted(set(secateur.__all__) - {"__version__"}))
def test_a_public_name_and_its_methods_are_documented(name: str) -> None:
    thing = getattr(secateur, name)
    assert inspect.getdoc(thing), name
    if inspect.isclass(thing) and not issubclass(thing, Exception):
        for member, value in vars(thing).items():
            if not member.startswith("_") and (
                inspect.isfunction(value) or isinstance(value, property)
            ):
                assert inspect.getdoc(getattr(thing, member)), f"{name}.{member}"
