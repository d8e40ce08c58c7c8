"""Weights that are DTensors: each process reads and masks its own shard, and gathers none."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

try:
    from torch.distributed.tensor import DTensor, Replicate, Shard
except ImportError:  # where PyTorch 2.4 has them
    from torch.distributed._tensor import (  # type: ignore[attr-defined]
        DTensor,
        Replicate,
        Shard,
    )

from secateur.adapter import ATTACH_AGAIN, LayerWeight, WeightSpec, Workers
from secateur.errors import ModelError, WorkerError
from secateur.layout import Array
from secateur_torch.parametrization import ParameterSlot
from secateur_torch.weight import TorchWeight, from_numpy, to_numpy


class ProcessWorkers(Workers):
    """All processes of the default group of torch.distributed."""

    def __init__(self, device: torch.device) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._device = device

    def total(self, numbers: Array) -> Array:
        sums = torch.tensor(numbers, device=self._device)
        with _together():
            dist.all_reduce(sums)
        return sums.cpu().numpy()

    def exchange(self, send_buffers: Sequence[Array]) -> list[Array]:
        dtype = send_buffers[0].dtype
        sent = [send_buffer.nbytes for send_buffer in send_buffers]
        sizes = torch.tensor(sent, device=self._device)
        arriving = torch.empty_like(sizes)
        with _together():
            dist.all_to_all_single(arriving, sizes)
        received = arriving.tolist()
        data = torch.from_numpy(np.concatenate(send_buffers).view(np.uint8)).to(self._device)
        into = torch.empty(sum(received), dtype=torch.uint8, device=self._device)
        with _together():
            dist.all_to_all_single(into, data, received, sent)
        flat = into.cpu().numpy().view(dtype)
        return np.split(flat, np.cumsum(received)[:-1] // dtype.itemsize)


@contextmanager
def _together() -> Iterator[None]:
    """Raise WorkerError when an operation of all processes together fails."""
    try:
        yield
    except RuntimeError as error:
        raise WorkerError(
            f"another process of this run has failed or ended, see its own error: {error}"
        ) from error


class ShardedWeight(TorchWeight):
    """What this process holds of a parameter: flat, in the order of its memory.

    Where several processes hold the same values, each answers for a part of them, and they
    tell each other the masks.

    Args:
        spec: What is known of the weight.
        entry: The entry of the table that describes it.
        slot: Where its values are stored.
        workers: The processes that hold it together.
        reshard: Brings the shards back, where FSDP shows whole weights.

    """

    sharded = True

    def __init__(
        self,
        spec: WeightSpec,
        entry: LayerWeight,
        slot: ParameterSlot,
        workers: Workers,
        reshard: Callable[[], None],
    ) -> None:
        super().__init__(spec, entry, slot)
        self._workers, self._reshard = workers, reshard
        parameter = slot.parameter
        self._sharding = _sharding(parameter)
        first, last = self._rows or (0, parameter.shape[0])
        self._native_shape = (last - first, *parameter.shape[1:])
        rows, *others = _positions(spec.name, parameter)
        begin, end = (bisect_left(rows, row) for row in (first, last))
        self._here = slice(begin, end)
        self._first = first
        self._positions = (rows[self._here], *others)
        self._shape = tuple(map(len, self._positions))
        self._replicas = _replicas(parameter, workers)
        size, number = prod(self._shape), self._replicas.index(workers.rank)
        count = len(self._replicas)
        self._own = slice(size * number // count, size * (number + 1) // count)

    def index(self, positions: Array) -> Array:
        """Return the canonical index of some of the values that `read` returns."""
        local = np.unravel_index(positions + self._own.start, self._shape)
        whole = [_taken(axis, here) for axis, here in zip(self._positions, local, strict=True)]
        whole[0] -= self._first
        native = np.ravel_multi_index(whole, self._native_shape)
        return self._layout.canonical_index(native, self._native_shape)

    def _check(self, parameter: Tensor) -> None:
        """Leave it to `part`, which can bring the shards back first."""

    def gradient(self) -> Array | None:
        gradient = self.kept[0] if self.kept else self.slot.parameter.grad
        if gradient is not None and _sharding(gradient) != self._sharding:
            raise ModelError(f"the gradient of {self.spec.name} is not sharded as it is")
        return super().gradient()

    def native_mask(self, mask: Array) -> Tensor:
        return self.native(mask)

    def native(self, mask: Array) -> Tensor:
        if len(self._replicas) > 1:
            send_buffers = [
                mask if worker in self._replicas else mask[:0]
                for worker in range(self._workers.count)
            ]
            received = self._workers.exchange(send_buffers)
            mask = np.concatenate([received[worker] for worker in self._replicas])
        part = self.part(self.current().detach())
        return from_numpy(mask.reshape(self._shape)).to(part.device)

    def _canonical(self, tensor: Tensor) -> Array:
        array = to_numpy(self.part(tensor)).reshape(-1)[self._own]
        array.flags.writeable = False
        return array

    def part(self, tensor: Tensor) -> Tensor:
        if _sharding(tensor) != self._sharding:
            self._reshard()
            tensor = self.slot.parameter.detach()
        if _sharding(tensor) != self._sharding:
            raise ModelError(
                f"{self.spec.name} is not sharded as it was when the pruner was attached"
                f"{ATTACH_AGAIN}"
            )
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        return local[self._here]


def _sharding(tensor: Any) -> tuple[object, ...]:
    """Return what is equal for two tensors only if they are sharded in the same way."""
    if not isinstance(tensor, DTensor):
        return (tuple(tensor.shape),)
    return tuple(tensor.shape), tensor.device_mesh, tuple(tensor.placements)


def to_dtensor(chunk: Tensor, length: int) -> DTensor:
    """Return a vector in chunks, one held by each process of the default group.

    Args:
        chunk: The chunk of this process.
        length: The length of the vector.

    """
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    return DTensor.from_local(chunk, mesh, [Shard(0)], shape=torch.Size([length]), stride=(1,))


def workers_of(parameters: Sequence[Any]) -> ProcessWorkers:
    """Return the processes that hold these parameters.

    Args:
        parameters: Parameters; at least one is a DTensor.

    Raises:
        ModelError: A parameter is held by some of the processes only.

    """
    meshes = [each.device_mesh for each in parameters if isinstance(each, DTensor)]
    for mesh in meshes:
        if mesh.size() != dist.get_world_size():
            raise ModelError(
                f"a parameter lies on a mesh of {mesh.size()} of the {dist.get_world_size()} "
                "processes; pruning needs parameters that all processes hold together"
            )
    return ProcessWorkers(torch.device(meshes[0].device_type))


Positions = range | Array
"""Positions along one axis: a range where they are neighbours, which takes no memory."""


def _taken(positions: Positions, index: Array) -> Array:
    """Return some of the positions."""
    if isinstance(positions, range):
        return index + positions.start
    taken: Array = positions[index]
    return taken


def _positions(name: str, parameter: Any) -> list[Positions]:
    """Return, for each axis, where in the whole parameter the local part lies."""
    if not isinstance(parameter, DTensor):
        return [range(length) for length in parameter.shape]
    if any(placement.is_partial() for placement in parameter.placements):
        raise ModelError(f"{name} is a partial sum ({parameter.placements}); reduce it first")
    mesh = parameter.device_mesh
    coordinate = mesh.get_coordinate() or ()
    positions = local_positions(parameter.shape, mesh.shape, coordinate, parameter.placements)
    local = tuple(parameter.to_local().shape)
    if tuple(map(len, positions)) != local:
        raise ModelError(
            f"{name} is sharded in a way that is not known ({parameter.placements}, with {local} "
            f"of {tuple(parameter.shape)} in this process); shard it by Shard placements"
        )
    return positions


def local_positions(
    shape: Sequence[int],
    mesh_shape: Sequence[int],
    coordinate: Sequence[int],
    placements: Sequence[Any],
) -> list[Positions]:
    """Return, for each axis of a DTensor, which of its positions one process holds.

    Several axes of the mesh may split one axis of the tensor, one after the other.  Each split
    is that of `torch.chunk`, so the last parts may be shorter, or empty.

    Args:
        shape: The shape of the whole tensor.
        mesh_shape: The shape of the device mesh.
        coordinate: Where in the mesh the process is.
        placements: The placement on each axis of the mesh.

    Example:
        >>> local_positions((5, 2), (2,), (1,), [Shard(0)])
        [range(3, 5), range(0, 2)]

    """
    positions: list[Positions] = [range(length) for length in shape]
    for count, number, placement in zip(mesh_shape, coordinate, placements, strict=True):
        if isinstance(placement, Replicate):
            continue
        # tensor parallelism below FSDP: each of so many parts is split by itself
        parts = _chunks(positions[placement.dim], getattr(placement, "split_factor", 1))
        own = [_chunks(part, count)[number] for part in parts]
        positions[placement.dim] = own[0] if len(own) == 1 else _joined(own)
    return positions


def _joined(parts: Sequence[Positions]) -> Array:
    return np.concatenate([np.asarray(part, np.int64) for part in parts])


def _chunks(positions: Positions, count: int) -> list[Positions]:
    """Split positions as `torch.chunk` does, into `count` chunks, some of them empty."""
    size = -(-len(positions) // count)
    return [positions[number * size : (number + 1) * size] for number in range(count)]


def _replicas(parameter: Any, workers: Workers) -> list[int]:
    """Return the ranks that hold the same values as this one, itself included."""
    if not isinstance(parameter, DTensor):
        return list(range(workers.count))
    mesh = parameter.device_mesh
    index: list[int | slice] = list(mesh.get_coordinate() or ())
    for axis, placement in enumerate(parameter.placements):
        if isinstance(placement, Replicate):
            index[axis] = slice(None)
    ranks: list[int] = mesh.mesh[tuple(index)].reshape(-1).tolist()
    return ranks
