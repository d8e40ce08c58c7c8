"""``secateur prune``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os.path import realpath
from pathlib import Path
from typing import Annotated

import typer

from secateur.adapter import Checkpoint
from secateur.checkpoints.bind import CheckpointBinding
from secateur.checkpoints.folder import FolderCheckpoint
from secateur.checkpoints.infer_kinds import parse_kinds
from secateur.cli.app import FOLDER, PRUNABLE, Json, Kind, Set, app, load_policy
from secateur.cli.model_files import in_order
from secateur.cli.output import progress, show, show_json, transfer
from secateur.errors import ModelError
from secateur.files import check_new_folder, check_outputs, is_same_file
from secateur.hooks.at_work import workers_of_this_run
from secateur.layout import Array
from secateur.run.checks.needs import check_one_shot
from secateur.run.plan import Plan
from secateur.run.report import Report
from secateur.run.resolve import resolve
from secateur.run.saved import state
from secateur.run.saved.about import about
from secateur.run.saved.state import State
from secateur.shipping.model_files import checkpoint_file, model_suffixes
from secateur.streaming.parallel import prune_together
from secateur.streaming.prune import prune_file
from secateur.streaming.weights import StoredWeight, stored_weights
from secateur.workers import Workers


@app.command("prune", epilog="Example: secateur prune model.npz policy.toml -o pruned.npz")
def prune(
    checkpoint: Annotated[
        str,
        typer.Argument(
            metavar="CHECKPOINT",
            help=f"A file: {PRUNABLE}; or {FOLDER}.",
        ),
    ],
    policy: Annotated[
        str, typer.Argument(metavar="POLICY", help="A policy file, or the name of a ready policy.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the pruned copy goes.")
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Replace the checkpoint by its pruned copy.")
    ] = False,
    settings: Set = None,
    kind: Kind = None,
    masks: Annotated[
        Path | None, typer.Option(help="Write the masks to this .npz, for pruner.load().")
    ] = None,
    json: Json = False,
) -> None:
    """Prune a checkpoint to a policy's final sparsity.

    Everything else in the file stays as it is. Of .safetensors, .npz and folders nothing larger
    than a piece of a tensor and the mask of the largest is held in memory, and no framework is
    needed. POLICY may come first, as in the other commands.
    """
    policy, path = in_order(policy, Path(checkpoint))
    output = _output(path, output, in_place)
    _check_outputs(path, output, masks, in_place, [Path(policy)])
    loaded = load_policy(policy, settings)
    _check_outputs(path, output, masks, in_place, loaded.files)
    workers = _workers(masks)
    source = _open(path)
    bound = CheckpointBinding(source, parse_kinds(kind or ()), blank=True)
    planned = resolve(loaded, bound.binding)
    check_one_shot(planned)
    report = _prune(source, planned, stored_weights(bound, source), output, masks, workers)
    if workers.rank:
        return
    assumed = bound.notes
    if json:
        table = {**report.to_dict(), "output": str(output)}
        show_json({**table, "notes": [*planned.notes, *report.notes, *assumed]})
        return
    notes = [f"note: {note}" for note in planned.notes]
    show(report.view(notes=[*notes, *assumed, f"written to {output}"]))


def _output(checkpoint: Path, output: Path | None, in_place: bool) -> Path:
    """Return where the pruned copy goes."""
    if output is None:
        if not in_place:
            raise typer.BadParameter("wanted --output, or --in-place")
        return checkpoint
    if in_place and realpath(checkpoint) != realpath(output):
        raise typer.BadParameter("--in-place is for an --output that is the checkpoint itself")
    if is_same_file(checkpoint, output) and not in_place:
        raise ModelError(
            f"{output}: the checkpoint itself; give another --output, or --in-place to replace it"
        )
    if checkpoint.is_dir() and output.suffix in model_suffixes() and not output.is_dir():
        raise ModelError(
            f"{output}: {checkpoint.name} is a folder, and a folder is written as a folder; "
            f"give a name without {output.suffix}"
        )
    if output.suffix != checkpoint.suffix and not checkpoint.is_dir():
        raise ModelError(f"{output}: wanted the format of the input, {checkpoint.suffix}")
    return output


def _check_outputs(
    checkpoint: Path, output: Path, masks: Path | None, in_place: bool, read: Sequence[Path]
) -> None:
    """Check that what is written harms nothing that is read, and can be written."""
    if not checkpoint.is_dir():
        check_outputs([output, masks], [*([] if in_place else [checkpoint]), *read])
        return
    check_outputs([masks], read)
    folder = Path(realpath(checkpoint))
    for path in filter(None, [None if in_place else output, masks]):
        if folder in Path(realpath(path)).parents:
            raise ModelError(f"{path}: lies in the checkpoint {checkpoint}; write it elsewhere")
    check_new_folder(output, replaces=in_place)


def _workers(masks: Path | None) -> Workers:
    workers = workers_of_this_run()
    if masks and workers.count > 1:
        raise ModelError("--masks is written by one process; leave it out, or run without torchrun")
    return workers


def _open(path: Path) -> Checkpoint:
    with progress(f"reading {path}"):
        source = checkpoint_file(path)
    if isinstance(source, FolderCheckpoint):
        source.check_rest()
    return source


def _prune(
    source: Checkpoint,
    planned: Plan,
    weights: dict[str, StoredWeight],
    output: Path,
    masks: Path | None,
    workers: Workers,
) -> Report:
    """Write the pruned copy, and the masks where they are wanted."""

    def save(found: Mapping[str, Array]) -> None:
        if masks:
            arrays = State(0, planned.policy.fingerprint, found).to_arrays()
            state.save({**arrays, **about(planned, one_shot=True)}, masks)

    pruned = [weights[spec.name] for rule in planned.rule_weights for spec in rule.specs]
    itemsizes = {weight.tensor: weight.itemsize for weight in pruned}
    size = sum(source.tensors[name].size * each for name, each in itemsizes.items())
    with transfer(f"pruning {source.path}", size, shown=workers.rank == 0) as advance:
        if workers.count > 1:
            return prune_together(source, planned, weights, output, workers, advance)
        return prune_file(source, planned, weights, output, advance, save)
