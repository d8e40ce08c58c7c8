"""The conformance kit: every check, in one class to subclass."""

from __future__ import annotations

import pytest

from secateur.testing.gradient_checks import GradientChecks, RegrowthChecks
from secateur.testing.layout_checks import LayoutChecks
from secateur.testing.live_checks import LiveChecks
from secateur.testing.mask_checks import MaskChecks
from secateur.testing.state_checks import StateChecks
from secateur.testing.training_checks import TrainingChecks


class AdapterConformance(
    LayoutChecks,
    MaskChecks,
    TrainingChecks,
    GradientChecks,
    RegrowthChecks,
    StateChecks,
    LiveChecks,
):
    """The contract of `secateur.adapter` as a pytest class.

    Subclass it in a test module under a name that pytest collects, and write `adapter`,
    `make_model`, `run`, `train_step`, `save_and_load` and `overwrite`; `layers` and `dtypes`
    say how far the adapter reaches, and every check runs over them.

    Example:
        >>> class TestMyFramework(AdapterConformance):
        ...     layers = ("dense", "conv2d", "gru")
        >>> sorted(TestMyFramework.__abstractmethods__)
        ['make_model', 'overwrite', 'run', 'save_and_load', 'train_step']

    """

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Run the checks of a layer over `layers`, and those of a dtype over `dtypes`.

        Args:
            metafunc: What pytest passes.

        """
        for argument, values in (("layer", self.layers), ("dtype", self.dtypes)):
            if argument in metafunc.fixturenames:
                metafunc.parametrize(argument, values)
