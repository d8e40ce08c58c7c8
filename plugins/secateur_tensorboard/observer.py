"""The observer that writes what TensorBoard shows."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from secateur import MasksUpdated, hookimpl
from secateur_tensorboard.images import encoded

_MISSING = 'secateur_tensorboard needs {}: pip install "secateur[tensorboard]"'


class TensorBoard:
    """An observer that writes a run's pruning into the log folder that TensorBoard reads.

    At each update of the masks it writes, by weight, ``pruning/sparsity/NAME``,
    ``pruning/target/NAME``, ``pruning/threshold/NAME`` (the smallest magnitude that is kept) and
    the mask as the image ``pruning/mask/NAME``, kept black; and for all prunable weights together
    ``pruning/sparsity`` and ``pruning/threshold``. It imports no framework.

    Args:
        folder: The log folder of the run, such as the `log_dir` of Keras's callback, or that of
            a `SummaryWriter`. It is made if it is not there.
        images: Whether masks are written as images.

    Raises:
        ModuleNotFoundError: The packages of the extra ``tensorboard`` are missing.

    Example:
        >>> import tempfile, secateur
        >>> folder = tempfile.mkdtemp()
        >>> half = {"schedule": {"kind": "one_shot", "final_sparsity": 0.5}}
        >>> report = secateur.prune({"fc": np.eye(4)}, half, observers=[TensorBoard(folder)])
        >>> [name.split(".")[1] for name in os.listdir(folder)]
        ['out']

    """

    def __init__(self, folder: str | os.PathLike[str], *, images: bool = True) -> None:
        try:
            self._events = import_module("tensorboard.compat.proto.event_pb2")
            self._summaries = import_module("tensorboard.compat.proto.summary_pb2")
            # not its EventFileWriter, which imports TensorFlow where that is installed
            self._records = import_module("tensorboard.summary.writer.record_writer")
            import_module("PIL.Image")
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            raise ModuleNotFoundError(_MISSING.format(missing), name=missing) from None
        self.folder = Path(folder)
        self.images = images
        self._path: Path | None = None
        self._thresholds: dict[str, float] = {}

    @hookimpl
    def secateur_masks_updated(self, event: MasksUpdated) -> None:
        """Write new masks; called at each update of the run.

        Args:
            event: The update.

        Raises:
            OSError: The folder or the file in it cannot be written.

        """
        if event.run is None:
            return  # masks that are transferred belong to no run
        values = [value for name in event.masks for value in self._of_weight(event, name)]
        values.append(self._scalar("sparsity", event.sparsity))
        if self._thresholds:
            values.append(self._scalar("threshold", min(self._thresholds.values())))
        self._write(event.step, self._summaries.Summary(value=values))

    def _of_weight(self, event: MasksUpdated, name: str) -> Iterator[Any]:
        """Yield the values of a weight that has a new mask."""
        mask = event.masks[name]
        yield self._scalar(f"sparsity/{name}", 1 - np.count_nonzero(mask) / max(mask.size, 1))
        yield self._scalar(f"target/{name}", event.targets[name])
        threshold = event.threshold(name)
        self._thresholds.pop(name, None)
        if threshold is not None:
            self._thresholds[name] = threshold
            yield self._scalar(f"threshold/{name}", threshold)
        if self.images and mask.size and mask.ndim > 1:  # a part of a sharded weight is flat
            kind = event.run.weights[name].weight.spec.kind if event.run else "dense"
            yield self._image(f"mask/{name}", *encoded(mask, kind))

    def _scalar(self, tag: str, value: float) -> Any:
        return self._summaries.Summary.Value(tag=f"pruning/{tag}", simple_value=value)

    def _image(self, tag: str, image: bytes, size: tuple[int, int]) -> Any:
        width, height = size
        picture = self._summaries.Summary.Image(
            height=height, width=width, colorspace=1, encoded_image_string=image
        )
        return self._summaries.Summary.Value(tag=f"pruning/{tag}", image=picture)

    def _write(self, step: int, summary: Any) -> None:
        """Add a record to the file, so that TensorBoard can show it at once."""
        events = [self._event(step=step, summary=summary)]
        path = self._path
        if path is None:
            self.folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
            path = self.folder / f"{name}.secateur"
            events.insert(0, self._event(file_version="brain.Event:2"))
        with path.open("ab") as file:
            records = self._records.RecordWriter(file)
            for event in events:
                records.write(event)
        self._path = path

    def _event(self, **content: Any) -> bytes:
        found: bytes = self._events.Event(wall_time=time.time(), **content).SerializeToString()
        return found
