"""What one call of `prune_low_magnitude` asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from secateur.errors import PolicyError, shown
from secateur_keras.tfmot.schedules import PruningSchedule, from_config

SINGLE = (1, 1)


@dataclass(frozen=True)
class Settings:
    """How some layers are pruned, in the toolkit's words, checked.

    Attributes:
        schedule: How sparse at which step.
        block_size: Height and width of a block in the toolkit's layout: inputs and outputs.
        block_pooling_type: AVG or MAX.
        sparsity_m_by_n: How many of how many consecutive weights are zero; None without that.

    """

    schedule: PruningSchedule
    block_size: tuple[int, int] = SINGLE
    block_pooling_type: str = "AVG"
    sparsity_m_by_n: tuple[int, int] | None = None

    @classmethod
    def checked(
        cls, schedule: Any, block_size: Any, block_pooling_type: Any, sparsity_m_by_n: Any
    ) -> Settings:
        """Return settings of what a user gave.

        Raises:
            PolicyError: Something in it makes no sense.

        """
        if not isinstance(schedule, PruningSchedule):
            raise PolicyError(
                f"pruning_schedule = {shown(schedule)}: wanted a PruningSchedule, such as "
                "tfmot.sparsity.keras.ConstantSparsity(0.5, 0)"
            )
        block = _two_integers(block_size, "block_size")
        if min(block) < 1:
            raise PolicyError(f"block_size = {block}: both lengths are at least 1")
        if block_pooling_type not in ("AVG", "MAX"):
            raise PolicyError(
                f"block_pooling_type = {shown(block_pooling_type)}: it should be 'AVG' or 'MAX'"
            )
        sets = None
        if sparsity_m_by_n:
            sets = _two_integers(sparsity_m_by_n, "sparsity_m_by_n")
            if not 1 <= sets[0] < sets[1]:
                raise PolicyError(
                    f"sparsity_m_by_n = {sets}: m of n weights are zero, so m is from 1 to n - 1"
                )
        return cls(schedule, block, block_pooling_type, sets)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Settings:
        """Return the settings of what `get_config` returned."""
        return cls.checked(
            from_config(config["pruning_schedule"]),
            config.get("block_size", SINGLE),
            config.get("block_pooling_type", "AVG"),
            config.get("sparsity_m_by_n"),
        )

    def get_config(self) -> dict[str, Any]:
        """Return the settings as a file of Keras holds them."""
        sets = self.sparsity_m_by_n
        return {
            "pruning_schedule": self.schedule.get_config(),
            "block_size": list(self.block_size),
            "block_pooling_type": self.block_pooling_type,
            "sparsity_m_by_n": None if sets is None else list(sets),
        }

    @cached_property
    def key(self) -> str:
        """What is equal for equal settings."""
        return json.dumps(self.get_config(), sort_keys=True, default=repr)


def _two_integers(value: Any, name: str) -> tuple[int, int]:
    try:
        first, second = value
        if isinstance(first, bool) or isinstance(second, bool):
            raise TypeError
        return first.__index__(), second.__index__()
    except (TypeError, ValueError, AttributeError) as error:
        raise PolicyError(
            f"{name} = {shown(value)}: wanted a tuple or list of 2 integers"
        ) from error
