"""The conformance kit: every check, in one class to subclass."""

from __future__ import annotations

import pytest

from secateur.testing.layout_checks import LayoutChecks
from secateur.testing.mask_checks import MaskChecks
from secateur.testing.state_checks import StateChecks
from secateur.testing.training_checks import TrainingChecks


class AdapterConformance(LayoutChecks, MaskChecks, TrainingChecks, StateChecks):
    """The contract of `secateur.adapter` as a pytest class.

    Subclass it in a test module under a name that pytest collects, and write `adapter`,
    `make_model`, `run`, `train_step` and `save_and_load` (see `secateur.testing.suite.Suite`);
    `layers` and `dtypes` say how far the adapter reaches, and every check runs over them::

        class TestMyFramework(AdapterConformance):
            adapter = MyAdapter()
            layers = ("dense", "conv2d", "gru")
            ...

    Example:
        >>> sorted(AdapterConformance.__abstractmethods__)
        ['make_model', 'run', 'save_and_load', 'train_step']
    """

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run the checks of a layer over `layers`, those of a dtype over `dtypes`.

        Args:
            metafunc: What pytest gives: the check that is being collected.
        """
        for argument, values in (("layer", self.layers), ("dtype", self.dtypes)):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, values)
