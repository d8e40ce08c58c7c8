"""The observer that records a run: its masks at every update, in one file."""

from __future__ import annotations

import os
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from secateur.errors import RecordingError, listed, shown
from secateur.files import check_output
from secateur.hooks.events import MasksUpdated, ObservedRun, ObservedWeight, smallest_kept
from secateur.hooks.hookspecs import hookimpl
from secateur.layout import Array
from secateur.recording import bits
from secateur.recording.measures import deflated_size, histogram
from secateur.recording.recorded import RecordedUpdate, RecordedWeight
from secateur.recording.recording import Recording
from secateur.recording.snapshot import recorded_weight, versions

IfExists = Literal["refuse", "resume", "replace"]


class Recorder:
    """An observer that records the masks of one run into one file, at every update.

    The file is complete after each update, so that it can be read while the run goes on. It and
    the recorder take at most one bit for each weight and update, and about 300 bytes for each
    mask; of a weight with more than 2**22 elements, evenly spaced rows are recorded.

    When a run goes on from a saved state, pass ``if_exists="resume"``: what was recorded after
    that state is dropped, and the rest of the run is added.

    Args:
        path: The file, by custom a .npz.
        if_exists: What to do with a recording that is there: ``"refuse"`` it by an error,
            ``"resume"`` it, or ``"replace"`` it. ``"resume"`` begins a new one if there is none.

    Raises:
        RecordingError: There is a recording, and `if_exists` is ``"refuse"``; or there is a file
            that is none, which is never replaced.
        OSError: The file cannot be written.

    Example:
        >>> import secateur, tempfile
        >>> path = Path(tempfile.mkdtemp(), "run.npz")
        >>> weights = {"fc": np.arange(1.0, 9.0).reshape(2, 4)}
        >>> schedule = {"kind": "linear", "final_sparsity": 0.5, "end_step": 2, "frequency": 1}
        >>> recorder = secateur.Recorder(path)
        >>> pruner = secateur.attach(weights, {"schedule": schedule}, observers=[recorder])
        >>> for _ in range(2):
        ...     pruner.step()
        >>> pruner.detach()
        >>> secateur.Recording.load(path).sparsities
        {0: 0.0, 1: 0.25, 2: 0.5}

    """

    def __init__(self, path: str | os.PathLike[str], *, if_exists: IfExists = "refuse") -> None:
        if if_exists not in get_args(IfExists):
            raise RecordingError(
                f"if_exists={shown(if_exists)}: wanted one of {listed(get_args(IfExists))}"
            )
        self.path = Path(path).absolute()  # the run may go on in another folder
        check_output(self.path)
        self._recording: Recording | None = None
        self._previous: dict[str, Array] = {}
        self._run: ObservedRun | None = None
        if self.path.exists():
            found = Recording.load(self.path)
            if if_exists == "refuse":
                last = found.steps[-1] if found.steps else 0
                raise RecordingError(
                    f"{self.path}: holds a recording up to step {last}; pass "
                    'if_exists="resume" to go on with it, or if_exists="replace"'
                )
            self._recording = found if if_exists == "resume" else None

    @property
    def recording(self) -> Recording | None:
        """What is recorded so far; None before the first update."""
        return self._recording

    @hookimpl
    def secateur_masks_updated(self, event: MasksUpdated) -> None:
        """Record new masks; called at each update of the run.

        Args:
            event: The update.

        Raises:
            RecordingError: It is of another run than the one that is recorded.
            OSError: The file cannot be written.

        """
        if event.run is None:
            return  # masks that are transferred belong to no run
        recording = self._fitting(event, event.run)
        if self._run is None and recording.history and not (event.step or event.resumed):
            self._run = event.run  # a run that is resumed is attached first, then goes on
            return
        recording, previous = self._without_what_follows(recording, event)
        weights, history = dict(recording.weights), list(recording.history)
        for name, mask in event.masks.items():
            observed, weight = event.run.weights[name], weights[name]
            packed = bits.packed(weight.plane.sample(mask))
            before = previous.get(name)
            if event.resumed and before is not None and np.array_equal(packed, before):
                continue  # the mask that is recorded already
            values = np.ascontiguousarray(observed.weight.read())
            stored = bits.compressed(packed, before)
            history.append(_update(event, weight, mask, values, stored))
            previous[name] = packed
            if weight.deflated is None and _is_final(event, name, observed):
                weights[name] = replace(weight, deflated=deflated_size(weight.plane, values, mask))
        recorded = replace(recording, weights=weights, history=tuple(history))
        recorded.save(self.path)
        self._recording, self._previous, self._run = recorded, previous, event.run

    def _fitting(self, event: MasksUpdated, run: ObservedRun) -> Recording:
        """Return the recording that an event belongs to: the present one, or one that begins."""
        known = self._recording
        if known is None:
            return _begun(event, run)
        # a run that failed at step 0, in attach() or prune(), may be tried again
        is_other = self._run is not None and self._run is not run
        if is_other and (known.adapter != run.adapter or known.steps[-1:] > (0,)):
            raise RecordingError(
                f"{self.path}: records another run already; make a Recorder for each run"
            )
        if known.fingerprint != event.fingerprint:
            raise RecordingError(
                f"{self.path}: records a run by policy {known.fingerprint[:12]}, not "
                f'{event.fingerprint[:12]}; give another path, or if_exists="replace"'
            )
        shapes = {name: each.weight.spec.shape for name, each in run.weights.items()}
        differing = [
            name
            for name in known.weights.keys() | shapes.keys()
            if name not in shapes
            or name not in known.weights
            or known.weights[name].shape != shapes[name]
        ]
        if differing:
            raise RecordingError(
                f"{self.path}: records another model: {listed(sorted(differing), 8)} differ; give "
                'another path, or if_exists="replace"'
            )
        return known

    def _without_what_follows(
        self, recording: Recording, event: MasksUpdated
    ) -> tuple[Recording, dict[str, Array]]:
        """Return what was recorded before an event, and the last masks of it."""
        kept = [
            update
            for update in recording.history
            if update.step < event.step
            or (update.step == event.step and (event.resumed or update.weight not in event.masks))
        ]
        if event.resumed and not any(update.step for update in kept):
            kept = []  # step 0 of attach(), before the state of another run was loaded
        if len(kept) == len(recording.history) and (self._previous or not kept):
            return recording, dict(self._previous)
        before = replace(recording, history=tuple(kept))
        return before, {update.weight: packed for update, packed in _last_masks(before)}


def _last_masks(recording: Recording) -> list[tuple[RecordedUpdate, Array]]:
    histories = (recording.packed(recording.updates(name)) for name in recording.weights)
    return [last for history in histories for last in deque(history, maxlen=1)]


def _begun(event: MasksUpdated, run: ObservedRun) -> Recording:
    """Return a recording that holds no update yet."""
    weights = {name: _recorded(observed) for name, observed in run.weights.items()}
    return Recording(run.adapter, event.fingerprint, run.policy, versions(), weights)


def _recorded(observed: ObservedWeight) -> RecordedWeight:
    spec = observed.weight.spec
    local = observed.weight.read().size if observed.weight.sharded else spec.size
    return recorded_weight(spec, local, observed.rule, observed.method, observed.target)


def _update(
    event: MasksUpdated, weight: RecordedWeight, mask: Array, values: Array, stored: bytes
) -> RecordedUpdate:
    kept = int(np.count_nonzero(mask))
    largest, counts = histogram(weight.plane, values)
    return RecordedUpdate(
        event.step,
        weight.name,
        kept,
        1 - kept / mask.size if mask.size else 0.0,
        event.targets[weight.name],
        smallest_kept(values, mask),
        largest,
        counts,
        event.resumed,
        stored,
    )


def _is_final(event: MasksUpdated, name: str, observed: ObservedWeight) -> bool:
    method = observed.method
    if method is None:
        return False
    if not method.has_target:
        return method.schedule.sparsity(event.step) >= method.final
    return event.targets[name] >= method.final
