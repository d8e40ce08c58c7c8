"""Whatever a state holds, it is loaded or refused with a StateError, and then nothing changed."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import secateur
from tests.nets.budget import NET

LONGEST_MESSAGE = 5_000
POLICY = {
    "schedule": {
        "kind": "linear",
        "final_sparsity": 0.8,
        "end_step": 6,
        "frequency": 2,
        "begin_when": {"monitor": "loss", "window": 2, "latest": 4},
    }
}


def model() -> dict[str, np.ndarray]:
    return {"a": np.arange(1.0, 25.0).reshape(4, 6), "b": np.arange(1.0, 10.0).reshape(3, 3)}


def trained(steps: int = 5) -> tuple[dict[str, np.ndarray], secateur.Pruner]:
    weights = model()
    pruner = secateur.attach(weights, POLICY)
    for step in range(steps):
        pruner.observe(loss=1.0 / (1 + step))
        pruner.step()
    return weights, pruner


def saved() -> bytes:
    _, pruner = trained()
    file = io.BytesIO()
    np.savez(file, **pruner.state_dict())
    return file.getvalue()


def look(weights: dict[str, np.ndarray], pruner: secateur.Pruner) -> tuple[Any, ...]:
    """Return all that a refused state must leave as it was."""
    masks = {name: mask.tobytes() for name, mask in pruner.masks.items()}
    return pruner.current_step, masks, {n: w.tobytes() for n, w in weights.items()}


def check_load(load: Any) -> bool:
    """Return whether a state was taken; a refused one must change nothing, and work can go on."""
    weights, pruner = trained(1)
    before = look(weights, pruner)
    message = None
    try:
        load(pruner)
    except secateur.StateError as refused:
        message = str(refused)
    if message is not None:
        assert len(message) < LONGEST_MESSAGE
        assert look(weights, pruner) == before
    pruner.step()
    assert set(pruner.state_dict())
    for name, mask in pruner.masks.items():
        assert not weights[name][~mask].any()
    return message is None


VALUES = (
    st.none()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=40)
    | npst.arrays(st.sampled_from(["u1", "i8", "f8", "?"]), npst.array_shapes(max_dims=2))
)


@NET
@given(st.data())
def test_a_state_with_other_values_is_refused_or_consistent(data: st.DataObject) -> None:
    _, pruner = trained()
    state: dict[str, Any] = dict(pruner.state_dict())
    for _ in range(data.draw(st.integers(1, 3))):
        key = data.draw(st.sampled_from(sorted(state)) | st.text(max_size=8))
        if data.draw(st.booleans()):
            state.pop(key, None)
        else:
            state[key] = data.draw(VALUES)
    check_load(lambda new: new.load_state_dict(state))


@pytest.mark.slow
def test_no_bit_of_a_saved_file_can_flip_and_break_a_run(tmp_path: Path) -> None:
    content, path = saved(), tmp_path / "state.npz"
    for bit in range(8 * len(content)):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        check_load(lambda new: new.load(path))


def test_no_end_of_a_saved_file_can_be_missing(tmp_path: Path) -> None:
    content, path = saved(), tmp_path / "state.npz"
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        assert not check_load(lambda new: new.load(path))
