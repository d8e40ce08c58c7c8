"""The animation of a run: the mask of a weight at each update, one frame after another."""

from __future__ import annotations

import io
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from secateur import RecordedUpdate, Recording, write_atomically
from secateur.errors import PluginError, RecordingError, listed
from secateur.layout import Array

SUFFIXES = (".gif", ".webp", ".mp4")
NARROWEST = 160
_TALLEST = 640
_LEAST = 120
"""The least width and height of a mask in a frame: longer ones are stretched."""
_MARGIN = 12
_CAPTION = 46
_LEVELS = 32
"""The greys of a frame: enough for the density of a mask, and few enough for a small file."""
_HOLD = 2.0
"""The seconds that the last frame stays."""
_INK, _FAINT, _PAPER = 24, 200, 255


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: The picture, in greys.
        update: The update that it shows.

    """

    image: Image.Image
    update: RecordedUpdate


def animate(
    recording: Recording, weight: str, path: str | Path, *, width: int = 960, seconds: float = 6.0
) -> int:
    """Write an animation of a weight's mask over the run: kept black, pruned white.

    A mask that is larger than the frame is averaged over areas, so that its grey is its density;
    a smaller one is enlarged.

    Args:
        recording: The recorded run.
        weight: The name of the weight.
        path: The file: .gif, .webp, or .mp4, which needs ffmpeg.
        width: The width of a frame in pixels, at most.
        seconds: How long all frames take together; the last one then stays two seconds.

    Returns:
        The number of frames.

    Raises:
        RecordingError: There is no such weight, it has no update, or `width` is too small.
        PluginError: The suffix is another one, or its writer is missing.
        OSError: The file cannot be written.

    Example:
        >>> import secateur, tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> grow = {"kind": "linear", "final_sparsity": 0.8, "end_step": 4, "frequency": 1}
        >>> recorder = secateur.Recorder(folder / "run.npz")
        >>> weights = {"fc": np.random.default_rng(0).normal(size=(32, 64))}
        >>> pruner = secateur.attach(weights, {"schedule": grow}, observers=[recorder])
        >>> for _ in range(4):
        ...     pruner.step()
        >>> animate(recorder.recording, "fc", folder / "pruning.gif")
        5

    """
    target = Path(path)
    check_writer(target)
    shown = list(frames(recording, weight, width))
    write(shown, target, seconds)
    return len(shown)


def check_writer(path: Path) -> None:
    """Check that an animation can be written in the format that a suffix names.

    Args:
        path: The file to write.

    Raises:
        PluginError: The suffix is another one, or its writer is missing.

    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise PluginError(f"{path}: an animation is {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if suffix == ".mp4":
        _ffmpeg()


def frames(recording: Recording, weight: str, width: int = 960) -> Iterator[Frame]:
    """Yield the frames of a weight, one for each of its updates.

    Args:
        recording: The recorded run.
        weight: The name of the weight.
        width: The width of a frame in pixels, at most.

    Yields:
        The frames, all of one size.

    Raises:
        RecordingError: There is no such weight, it has no update, or `width` is too small.

    """
    updates = recording.updates(weight)
    if not updates:
        changing = [name for name in recording.weights if recording.updates(name)]
        raise RecordingError(
            f"{weight} was not pruned in this run; these were: {listed(changing, 8) or 'none'}"
        )
    plane = recording.weights[weight].plane
    if not plane.size:
        raise RecordingError(f"{weight} has no elements to draw")
    if width < NARROWEST:
        raise RecordingError(f"width={width}: a frame takes at least {NARROWEST} pixels")
    size = _scaled(plane.shown_columns, plane.shown_rows, width - 2 * _MARGIN)
    last = max(updates[-1].step, 1)
    for update, mask in recording.masks(weight):
        yield Frame(_drawn(mask, size, weight, update, update.step / last), update)


def _scaled(columns: int, rows: int, widest: int) -> tuple[int, int]:
    """Return the size of a mask in a frame.

    >>> _scaled(3136, 1024, 936), _scaled(16, 8, 936)
    ((936, 306), (936, 468))
    """
    scale = min(widest / columns, _TALLEST / rows)
    if scale > 1:
        scale = int(scale) if scale < 8 else scale
    width = _at_least(min(_LEAST, widest), round(columns * scale), columns)
    return width, _at_least(_LEAST, round(rows * scale), rows)


def _at_least(least: int, length: int, cells: int) -> int:
    """Return a length that is not too short: whole pixels for each cell where they fit."""
    if length >= least or cells > least:
        return max(length, least)
    return cells * (least // cells)


def _drawn(
    mask: Array, size: tuple[int, int], weight: str, update: RecordedUpdate, progress: float
) -> Image.Image:
    grey = Image.fromarray(np.where(mask, np.uint8(0), np.uint8(255)))
    picture = grey.resize(size, Image.Resampling.BOX)  # the mean of the area under each pixel
    width = max(size[0], 260) + 2 * _MARGIN
    image = Image.new("L", (width, size[1] + 2 * _MARGIN + _CAPTION), _PAPER)
    left = (width - size[0]) // 2
    image.paste(picture, (left, _MARGIN))
    draw = ImageDraw.Draw(image)
    draw.rectangle((left - 1, _MARGIN - 1, left + size[0], _MARGIN + size[1]), outline=_FAINT)
    _caption(draw, (_MARGIN, size[1] + _MARGIN + 8, width - _MARGIN), weight, update, progress)
    return image


def _caption(
    draw: ImageDraw.ImageDraw,
    box: tuple[int, int, int],
    weight: str,
    update: RecordedUpdate,
    progress: float,
) -> None:
    """Write the step, the sparsity and the weight, over a line that fills as the run goes on."""
    left, top, right = box
    font = ImageFont.load_default(16)
    words = f"step {update.step:,}    sparsity {update.sparsity:.3f}"
    draw.text((left, top), words, _INK, font)
    room = right - left - draw.textlength(words, font) - 24
    name = weight
    for end in range(min(len(weight), 120), 0, -1):
        name = weight if end == len(weight) else f"{weight[:end]}\u2026"
        if draw.textlength(name, font) <= room:
            break
    draw.text((right - draw.textlength(name, font), top), name, 110, font)
    bar = top + 27
    draw.rectangle((left, bar, right, bar + 3), fill=225)
    draw.rectangle((left, bar, left + round((right - left) * progress), bar + 3), fill=_INK)


def write(shown: Sequence[Frame], path: Path, seconds: float = 6.0) -> None:
    """Write frames to a file, whole or not at all.

    Args:
        shown: The frames.
        path: The file; its suffix names the format.
        seconds: How long all frames take together; the last one then stays two seconds.

    """
    each = max(20, round(1000 * seconds / len(shown)))
    times = [each] * (len(shown) - 1) + [each + round(1000 * _HOLD)]
    if path.suffix.lower() == ".mp4":
        write_atomically(path, _mp4(shown, times, each))
        return
    images = [_in_levels(frame.image) for frame in shown]
    content = io.BytesIO()
    is_webp = path.suffix.lower() == ".webp"
    settings = {"lossless": True, "method": 1} if is_webp else {}
    kind = "WEBP" if is_webp else "GIF"
    images[0].save(
        content, kind, save_all=True, append_images=images[1:], duration=times, loop=0, **settings
    )
    write_atomically(path, content.getvalue())


def _in_levels(image: Image.Image) -> Image.Image:
    """Return an image of few greys, black and white among them."""
    steps = 255 / (_LEVELS - 1)
    indices = [round(value / steps) for value in range(256)]
    found = image.point(indices)
    palette = Image.new("P", image.size)
    palette.putpalette([round(level * steps) for level in range(_LEVELS) for _ in range(3)])
    palette.frombytes(found.tobytes())
    return palette


def _ffmpeg() -> str:
    """Return the path of ffmpeg.

    Raises:
        PluginError: It is not installed.

    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        return str(import_module("imageio_ffmpeg").get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise PluginError(
            "MP4 needs ffmpeg: install it, or pip install imageio-ffmpeg; .gif and .webp do not"
        ) from None


def _mp4(shown: Sequence[Frame], times: Sequence[int], each: int) -> bytes:
    """Return frames as an MP4 file; a frame that stays is repeated."""
    width, height = (length - length % 2 for length in shown[0].image.size)
    raw = b"".join(
        frame.image.crop((0, 0, width, height)).tobytes() * max(1, round(time / each))
        for frame, time in zip(shown, times, strict=True)
    )
    with TemporaryDirectory() as folder:
        made = Path(folder, "animation.mp4")
        source = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}"]
        rate = ["-r", f"{1000 / each:.3f}", "-i", "-"]
        coded = ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-movflags", "+faststart"]
        command = [_ffmpeg(), "-v", "error", "-y", *source, *rate, *coded, str(made)]
        done = subprocess.run(command, input=raw, capture_output=True, check=False)  # noqa: S603
        if done.returncode:
            why = done.stderr.decode(errors="replace").strip()
            raise PluginError(f"ffmpeg failed: {why[-300:]}")
        return made.read_bytes()
