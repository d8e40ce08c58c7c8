"""Weights that are DTensors: each process reads and masks its own shard, and gathers none."""

from __future__ import annotations

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
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
except ImportError:  # where PyTorch 2.4 has them
    from torch.distributed._tensor import (  # type: ignore[attr-defined]
        DTensor,
        Replicate,
        Shard,
    )
    from torch.distributed._tensor._utils import (  # type: ignore[import-not-found, no-redef]
        compute_local_shape_and_global_offset,
    )

from secateur.adapter import LayerWeight, WeightSpec, Workers
from secateur.errors import ModelError, WorkerError
from secateur.layout import Array
from secateur_torch.stored import Stored
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
    """Say what it means when what all processes do together fails."""
    try:
        yield
    except RuntimeError as error:
        raise WorkerError(
            f"another process of this run has failed or ended, see its own error: {error}"
        ) from error


class ShardedWeight(TorchWeight):
    """What this process holds of a parameter: flat, in the order of its memory.

    Where several processes hold the same values, each answers for a part of them, and they
    tell each other the masks.  reshard: brings the shards back, where FSDP shows whole weights.
    """

    sharded = True

    def __init__(
        self,
        spec: WeightSpec,
        row: LayerWeight,
        stored: Stored,
        workers: Workers,
        reshard: Callable[[], None],
    ) -> None:
        super().__init__(spec, row, stored)
        self._workers, self._reshard = workers, reshard
        parameter = stored.parameter
        self._kind = _kind(parameter)
        first, last = self._rows or (0, parameter.shape[0])
        self._native_shape = (last - first, *parameter.shape[1:])
        shape, offset = _box(spec.name, parameter)
        begin = min(max(first - offset[0], 0), shape[0])
        end = min(max(last - offset[0], begin), shape[0])
        self._here = slice(begin, end)
        self._shape = (end - begin, *shape[1:])
        self._offset = (offset[0] + begin - first, *offset[1:])
        self._replicas = _replicas(parameter, workers)
        size, number = prod(self._shape), self._replicas.index(workers.rank)
        count = len(self._replicas)
        self._share = slice(size * number // count, size * (number + 1) // count)

    def index(self, positions: Array) -> Array:
        """Return the canonical index of some of the values that `read` returns."""
        where = np.unravel_index(positions + self._share.start, self._shape)
        whole = [here + start for here, start in zip(where, self._offset, strict=True)]
        native = np.ravel_multi_index(whole, self._native_shape)
        return self._layout.canonical_index(native, self._native_shape)

    def gradient(self) -> Array | None:
        gradient = self.stored.parameter.grad
        if gradient is not None and _kind(gradient) != self._kind:
            raise ModelError(f"the gradient of {self.spec.name} is not sharded as it is")
        return super().gradient()

    def native_mask(self, mask: Array) -> Tensor:
        if len(self._replicas) > 1:
            send_buffers = [
                mask if worker in self._replicas else mask[:0]
                for worker in range(self._workers.count)
            ]
            received = self._workers.exchange(send_buffers)
            mask = np.concatenate([received[worker] for worker in self._replicas])
        part = self._part(self.stored.parameter.detach())
        return from_numpy(mask.reshape(self._shape)).to(part.device)

    def _canonical(self, tensor: Tensor) -> Array:
        array = to_numpy(self._part(tensor)).reshape(-1)[self._share]
        array.flags.writeable = False
        return array

    def _part(self, tensor: Tensor) -> Tensor:
        if _kind(tensor) != self._kind:
            self._reshard()
            tensor = self.stored.parameter.detach()
        if _kind(tensor) != self._kind:
            raise ModelError(
                f"{self.spec.name} is not sharded as it was when the pruner was attached; call "
                "pruner.detach(), and attach again"
            )
        local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
        return local[self._here]


def _kind(tensor: Any) -> tuple[object, ...]:
    """Return what tells a parameter that is sharded in one way from any other."""
    if not isinstance(tensor, DTensor):
        return (tuple(tensor.shape),)
    return tuple(tensor.shape), tensor.device_mesh, tuple(tensor.placements)


def is_sharded(tensor: object) -> bool:
    """Tell whether a parameter is a DTensor."""
    return isinstance(tensor, DTensor)


def to_dtensor(chunk: Tensor, length: int) -> DTensor:
    """Return a vector of which each process of the default group holds its chunk."""
    mesh = init_device_mesh("cpu", (dist.get_world_size(),))
    return DTensor.from_local(chunk, mesh, [Shard(0)], shape=torch.Size([length]), stride=(1,))


def workers_of(parameters: Sequence[Any]) -> ProcessWorkers:
    """Return the processes that hold these parameters.

    Raises ModelError when that is not all of them.
    """
    meshes = [each.device_mesh for each in parameters if isinstance(each, DTensor)]
    for mesh in meshes:
        if mesh.size() != dist.get_world_size():
            raise ModelError(
                f"a parameter lies on a mesh of {mesh.size()} of the {dist.get_world_size()} "
                "processes; pruning needs parameters that all processes hold together"
            )
    return ProcessWorkers(torch.device(meshes[0].device_type))


def _box(name: str, parameter: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shape of the local part, and where it begins."""
    if not isinstance(parameter, DTensor):
        return tuple(parameter.shape), (0,) * parameter.ndim
    if any(placement.is_partial() for placement in parameter.placements):
        raise ModelError(f"{name} is a partial sum ({parameter.placements}); reduce it first")
    shape, offset = compute_local_shape_and_global_offset(
        parameter.shape, parameter.device_mesh, parameter.placements
    )
    return tuple(shape), tuple(offset)


def _replicas(parameter: Any, workers: Workers) -> list[int]:
    """Return the ranks that hold the same values as this one, itself included."""
    if not isinstance(parameter, DTensor):
        return list(range(workers.count))
    mesh = parameter.device_mesh
    place: list[int | slice] = list(mesh.get_coordinate() or ())
    for axis, placement in enumerate(parameter.placements):
        if isinstance(placement, Replicate):
            place[axis] = slice(None)
    ranks: list[int] = mesh.mesh[tuple(place)].reshape(-1).tolist()
    return ranks
