"""The masks of a weight as small pictures, one for each update, within a number of bytes."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from secateur import RecordedUpdate, RecordedWeight, Recording
from secateur.layout import Array

MOST_FRAMES = 60
"""The most updates of one weight that are shown."""
_MOST_ROWS, _MOST_COLUMNS = 512, 1024
_MOST_DOTS = 320 * 320
_FEWEST_DOTS = 24 * 24
_MOST_BYTES = 3_000_000
"""The most bytes that the masks of all weights take, in base64."""


@dataclass(frozen=True)
class Grid:
    """Which elements of a weight's plane are the dots of its pictures.

    Attributes:
        rows: The number of rows of dots.
        columns: The number of columns of dots.
        plane_rows: The row of each dot in what is recorded.
        plane_columns: The column of each dot there.

    """

    rows: int
    columns: int
    plane_rows: Array
    plane_columns: Array


@dataclass(frozen=True)
class Frames:
    """The pictures of one weight.

    Attributes:
        grid: What the dots are.
        updates: The updates that are shown.
        data: The bits of the first picture, then what changes from each to the next; deflated,
            in base64.
        other: The last mask of the other run at the same dots, in the same form; "" without one.

    """

    grid: Grid
    updates: tuple[RecordedUpdate, ...]
    data: str
    other: str = ""


def all_frames(recording: Recording, against: Recording | None) -> dict[str, Frames]:
    """Return the pictures of every weight that has a mask: coarser if they exceed `_MOST_BYTES`.

    Args:
        recording: The run.
        against: The run that it is compared with, if there is one.

    """
    names = list(dict.fromkeys(update.weight for update in recording.history))
    dots = min(_MOST_DOTS, max(_FEWEST_DOTS, 12_000_000 // max(len(names), 1)))
    while True:
        found = {name: _frames(recording, against, name, dots) for name in names}
        size = sum(len(each.data) + len(each.other) for each in found.values())
        if size <= _MOST_BYTES or dots <= _FEWEST_DOTS:
            return found
        dots = max(_FEWEST_DOTS, int(dots * 0.9 * _MOST_BYTES / size))


def _frames(recording: Recording, against: Recording | None, name: str, dots: int) -> Frames:
    weight = recording.weights[name]
    grid = grid_of(weight.plane.shown_rows, weight.plane.shown_columns, dots)
    total = len(recording.updates(name))
    chosen = {round(n) for n in np.linspace(0, total - 1, min(total, MOST_FRAMES))}
    updates, pictures = [], []
    for number, (update, mask) in enumerate(recording.masks(name)):
        if number in chosen:
            updates.append(update)
            pictures.append(_picture(mask, grid))
    other = "" if against is None else _other(against, weight, grid)
    return Frames(grid, tuple(updates), _encoded(_changes(pictures)), other)


def grid_of(rows: int, columns: int, dots: int) -> Grid:
    """Return a grid of at most so many dots over a plane.

    A plane with more elements is divided into as many tiles; of each, one element is drawn by
    lot, so that the share of kept ones stays, also in regular patterns.

    >>> grid = grid_of(1024, 3136, 4096)
    >>> grid.rows, grid.columns
    (37, 110)
    >>> grid = grid_of(2, 3, 4096)
    >>> grid.plane_columns.tolist()
    [[0, 1, 2], [0, 1, 2]]
    """
    if not rows or not columns:
        return Grid(0, 0, np.zeros((0, 0), np.int64), np.zeros((0, 0), np.int64))
    scale = min(1.0, math.sqrt(dots / (rows * columns)))
    high = min(rows, _MOST_ROWS, max(1, round(rows * scale)))
    wide = min(columns, _MOST_COLUMNS, max(1, dots // high))
    high = min(rows, _MOST_ROWS, max(1, dots // wide))
    random, shape = np.random.default_rng(0), (high, wide)
    plane_rows = _drawn(random, rows, high, shape, axis=0)
    return Grid(high, wide, plane_rows, _drawn(random, columns, wide, shape, axis=1))


def _drawn(
    random: np.random.Generator, length: int, parts: int, shape: tuple[int, int], axis: int
) -> Array:
    """Return an index within each of equal parts of an axis, for each dot by itself."""
    part = np.arange(parts).reshape((-1, 1) if axis == 0 else (1, -1))
    within = random.random(shape) if parts < length else 0.0
    return np.broadcast_to(((part + within) * length / parts).astype(np.int64), shape)


def _picture(mask: Array, grid: Grid) -> Array:
    return np.packbits(mask[grid.plane_rows, grid.plane_columns])


def _changes(pictures: list[Array]) -> Iterator[bytes]:
    previous: Array | None = None
    for picture in pictures:
        yield (picture if previous is None else picture ^ previous).tobytes()
        previous = picture


def _other(against: Recording, weight: RecordedWeight, grid: Grid) -> str:
    """Return the last mask of the other run, if it has the same weight."""
    twin = against.weights.get(weight.name)
    if twin is None or twin.plane != weight.plane:
        return ""
    last = last_mask(against, weight.name)
    return "" if last is None else _encoded([_picture(last, grid).tobytes()])


def last_mask(recording: Recording, name: str) -> Array | None:
    """Return the recorded part of the last mask of a weight, None where there is none."""
    last = None
    for _, mask in recording.masks(name):
        last = mask
    return last


def _encoded(parts: Iterator[bytes] | list[bytes]) -> str:
    return base64.b64encode(zlib.compress(b"".join(parts), 9)).decode()
