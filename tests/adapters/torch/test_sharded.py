"""FSDP2 and tensor parallel shards: the masks of one process, and no weight is gathered."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("way", "ranks"),
    [("fsdp", 2), ("fsdp", 3), ("tensor", 2), ("tensor", 3), ("both", 4), ("hybrid", 4)],
)
def test_masks_of_shards_are_those_of_one_process(way, ranks, torchrun):
    torchrun(ranks, "masks_child.py", way)
