"""Prune a checkpoint on several processes, each some of its files; the bytes are those of one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from secateur.adapter import Checkpoint
from secateur.checkpoints.folder import FolderCheckpoint
from secateur.errors import WorkerError
from secateur.files import NewFolder
from secateur.run.plan import Plan
from secateur.run.report import Report
from secateur.streaming.prune import Advance, Pruning, prepare
from secateur.streaming.weights import StoredWeight
from secateur.workers import Workers


def prune_together(
    source: Checkpoint,
    planned: Plan,
    weights: Mapping[str, StoredWeight],
    output: Path,
    workers: Workers,
    advance: Advance = lambda written: None,
) -> Report:
    """Write a pruned copy of a checkpoint, as `prune_file` does; every worker calls this.

    The files of a folder are divided among the workers by their sizes.  A checkpoint that is one
    file is pruned by the first worker, and the others wait for it.

    Args:
        source: The checkpoint, which every worker can read.
        planned: The plan for it, the same on all workers.
        weights: Its weights by name.
        output: The new file, or folder, on a file system that all workers share.
        workers: The processes.
        advance: Called with the number of bytes that this one wrote of the changed tensors.

    Raises:
        WorkerError: Another worker failed.  There is no new file then, nor after another error.

    """
    if isinstance(source, FolderCheckpoint):
        files = _share(source, workers)
        here = {name for name, file in source.file_of.items() if file in files}
    else:
        here = set(source.tensors) if workers.rank == 0 else set()
    for weight in weights.values():
        weight.here = weight.tensor in here
    pruning = Pruning(source, planned, weights, prepare(planned, weights, workers), advance)
    fingerprint = planned.policy.fingerprint
    if isinstance(source, FolderCheckpoint):
        _write_folder(source, files, pruning, output, workers)
    else:
        with _together(workers):
            if workers.rank == 0:
                pruning.run(lambda changed: source.rewrite(output, changed, fingerprint))
    names = [spec.name for rule in planned.rule_weights for spec in rule.specs]
    counts = np.zeros((2, len(names)), np.int64)
    for number, name in enumerate(names):
        if name in pruning.counts:
            count = pruning.counts[name]
            counts[:, number] = count.kept, count.zeros
    kept, zeros = workers.total(counts).tolist()
    return pruning.report(dict(zip(names, kept, strict=True)), dict(zip(names, zeros, strict=True)))


def _share(source: FolderCheckpoint, workers: Workers) -> list[str]:
    """Return the files of this worker: the largest first, each to the one with least so far."""
    shares: list[list[str]] = [[] for _ in range(workers.count)]
    loads = [0] * workers.count
    sizes = {name: (source.path / name).stat().st_size for name in source.files}
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        least = loads.index(min(loads))
        shares[least].append(name)
        loads[least] += sizes[name]
    return shares[workers.rank]


def _write_folder(
    source: FolderCheckpoint, files: list[str], pruning: Pruning, output: Path, workers: Workers
) -> None:
    """Write the files of this worker; the first worker gives the folder its name."""
    fingerprint = pruning.planned.policy.fingerprint
    number = np.array([secrets.randbits(62) if workers.rank == 0 else 0], np.int64)
    new = NewFolder(output, token=f"{int(workers.total(number)[0]):016x}")
    try:
        with _together(workers):
            pruning.run(lambda changed: source.write_files(new, files, changed, fingerprint))
        with _together(workers):
            new.publish()
        with _together(workers):
            if workers.rank == 0:
                source.copy_rest(new.path)
                new.finish(replaces=source.replaced_by(output))
    finally:
        new.close()


@contextmanager
def _together(workers: Workers) -> Iterator[None]:
    """Wait for all workers at the end of a block, in which none waits for another.

    Raises:
        WorkerError: The block failed on another worker, or that worker has ended.

    """
    mine: BaseException | None = None
    try:
        yield
    except Exception as error:
        mine = error
    failed = workers.total(np.array([mine is not None], np.int64))
    if mine is not None:
        raise mine
    if failed[0]:
        raise WorkerError(
            "another process of this run failed, see its own error; nothing was written"
        )
