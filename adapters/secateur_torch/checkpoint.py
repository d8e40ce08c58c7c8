"""A state dict in a .pt or .pth file, as the command line reads it."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import IO

import torch
from torch import Tensor as TorchTensor

from secateur import atomically
from secateur.adapter import Checkpoint, Tensor
from secateur.errors import ModelError, listed, shown
from secateur.layout import Array
from secateur_torch.memory import memory_of
from secateur_torch.weight import from_numpy, to_numpy

_NESTED = ("model", "state_dict", "model_state_dict")
"""Where training scripts put the model's state dict next to the optimizer's."""
_NOTE = b"secateur_policy "
"""Begins the comment of an archive that notes a policy, as in .npz and .keras files."""
_OBJECT = re.compile(r"(?:GLOBAL|global:?) (?!was|GLOBAL)([\w.]+)")
"""Where the error of torch.load names the class of an object that it does not make."""


class TorchCheckpoint(Checkpoint):
    """A state dict, loaded with ``weights_only=True``.

    Its tensors have the order of the state dict, in which modules were registered.
    """

    adapter = "torch"

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            loaded = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load has no error class of its own
            raise ModelError(
                f"{path}: no state dict that can be loaded without running code: "
                f"{_why(path, error)}"
            ) from error
        self._loaded = loaded
        self._state = _tensors(loaded)
        if not self._state:
            raise ModelError(f"{path}: holds no state dict{_besides(loaded)}")
        self.tensors = {
            name: Tensor(name, _dtype(tensor), _shape(tensor))
            for name, tensor in self._state.items()
        }
        self.tied = _tied(self._state)
        self.noted_policy = _policy_noted_in(path)
        self.untouched = _copies(loaded, self._state)
        own = {id(tensor) for tensor in self._state.values()}
        others = [
            tensor
            for mapping in _mappings_in(loaded)
            for tensor in mapping.values()
            if isinstance(tensor, TorchTensor) and id(tensor) not in own
        ]
        if size := sum(tensor.numel() * tensor.element_size() for tensor in others):
            advice = "torch.save(model.state_dict(), path) leaves them out"
            self.notes = [f"{size:,} bytes are no weights, but an optimizer's or others; {advice}"]

    def read(self, name: str) -> Array:
        tensor = self._state[name]
        if special := special_layout(tensor):
            raise ModelError(f"{self.path}: {name:.80} is {special}; its values cannot be read")
        stored = tensor.untyped_storage().nbytes()
        if tensor.numel() * tensor.element_size() > stored:
            raise ModelError(
                f"{self.path}: {name:.80} has more values than are stored; save a contiguous copy"
            )
        try:
            return to_numpy(tensor.detach())
        except TypeError as error:  # a dtype that NumPy does not have
            raise ModelError(f"{self.path}: {name:.80} cannot be read: {error}") from error

    def write(self, path: Path, changed: Mapping[str, Array], fingerprint: str) -> None:
        """Write everything that was loaded, with other values in some tensors."""
        self._check_apart([name for name in self.tensors if name in changed])
        with atomically(path) as file:
            for name in self.tensors:
                if name in changed:
                    with torch.no_grad():
                        self._state[name].copy_(from_numpy(changed[name]))
            try:
                torch.save(self._loaded, file)
            except RecursionError as error:
                raise ModelError(f"{self.path}: is nested too deeply to be written") from error
            _note_policy(file, fingerprint)

    def _check_apart(self, names: Sequence[str]) -> None:
        """Raise ModelError if two tensors that change lie in the same memory."""
        spans = sorted((*memory_of(self._state[name]), name) for name in names)
        for (_, end, first), (start, _, second) in pairwise(spans):
            if start < end:
                raise ModelError(
                    f"{self.path}: {first:.80} and {second:.80} are parts of the same memory, and "
                    "not the same tensor; save copies of them"
                )


def _note_policy(file: IO[bytes], fingerprint: str) -> None:
    """Note a policy as the comment of an archive, whose length its last two bytes say.

    A key of the state dict would be in the way of ``load_state_dict``.
    """
    comment = _NOTE + fingerprint.encode()
    file.seek(-2, os.SEEK_END)
    file.write(len(comment).to_bytes(2, "little") + comment)


def _policy_noted_in(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            comment = archive.comment
    except (zipfile.BadZipFile, NotImplementedError, ValueError):  # as torch saved before 1.6
        return None
    return (
        comment.removeprefix(_NOTE).decode("utf-8", "replace")
        if comment.startswith(_NOTE)
        else None
    )


def _dtype(tensor: TorchTensor) -> str:
    """Return the name of a tensor's dtype; with what it is, where it is not a plain tensor."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    return " ".join(filter(None, (special_layout(tensor), dtype)))


def _shape(tensor: TorchTensor) -> tuple[int, ...]:
    """Return the shape of a tensor; a nested one has none."""
    return (tensor.numel(),) if tensor.is_nested else tuple(tensor.shape)


def special_layout(tensor: TorchTensor) -> str:
    """Return what a tensor is that has no plain values in memory; nothing for others.

    Args:
        tensor: Any tensor.

    """
    if tensor.is_meta:
        return "meta"
    if tensor.is_quantized:
        return "quantized"
    if tensor.is_nested:
        return "nested"
    if hasattr(tensor, "__tensor_flatten__"):  # a subclass that wraps other tensors
        return type(tensor).__name__
    return "" if tensor.layout is torch.strided else str(tensor.layout).removeprefix("torch.")


def _tied(state: Mapping[str, TorchTensor]) -> dict[str, str]:
    """Return the names of tensors that lie in the memory of an earlier one, with its name."""
    first: dict[tuple[object, ...], str] = {}
    found: dict[str, str] = {}
    for name, tensor in state.items():
        if special_layout(tensor) or not tensor.numel():
            continue
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if (earlier := first.setdefault(place, name)) != name:
            found[name] = earlier
    return found


def _mappings_in(value: object) -> Iterator[Mapping[object, object]]:
    """Yield nested mappings, and sequences as such, each once: a file may hold them in circles."""
    waiting, seen = [value], set[int]()
    while waiting:
        held = waiting.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, list | tuple):
            held = dict(enumerate(held))
        if isinstance(held, Mapping):
            yield held
            waiting += held.values()


def _why(path: Path, error: Exception) -> str:
    """Return why a file was not loaded, in one line, and what to do where it holds objects."""
    text = str(error).strip()
    if found := _OBJECT.search(text):
        return f"it holds a {found[1]}, and only code can make one; save model.state_dict() alone"
    if path.is_file() and not path.stat().st_size:
        return "it is empty"
    if "TorchScript" in text:
        return "it is a program of TorchScript; save model.state_dict() alone"
    if _is_cut_short(path):
        return "its archive is cut short or damaged"
    if isinstance(error, KeyError):  # what torch.load raises at a byte that begins nothing
        return "torch.save does not write such files"
    return (text.splitlines() or [type(error).__name__])[0][:200]


def _is_cut_short(path: Path) -> bool:
    """Return whether a file begins as an archive, and has not the table that ends one."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        begins = file.read(2) == b"PK"
    return begins and not zipfile.is_zipfile(path)


def _besides(loaded: object) -> str:
    """Return what a file without a state dict may mean by one, and where it is looked for."""
    keys = loaded if isinstance(loaded, Mapping) else {}
    held = [shown(key) for key, value in keys.items() if isinstance(value, Mapping)]
    if not held:
        return "; save model.state_dict()"
    return (
        f" under {listed(_NESTED, len(_NESTED))}, but tables under {listed(held, 8)}; save the "
        "model.state_dict() that is to be pruned"
    )


def _copies(loaded: object, state: Mapping[str, TorchTensor]) -> list[str]:
    """Return the keys of other state dicts of the same model, such as a moving average."""
    if not isinstance(loaded, Mapping):
        return []
    names, own = {_unwrapped(name) for name in state}, {id(tensor) for tensor in state.values()}
    return [
        shown(key)
        for key, value in loaded.items()
        if any(
            _unwrapped(name) in names and id(tensor) not in own
            for table in _mappings_in(value)
            for name, tensor in table.items()
            if isinstance(name, str) and isinstance(tensor, TorchTensor)
        )
    ]


def _unwrapped(name: str) -> str:
    """Return a name as it is without DistributedDataParallel, AveragedModel and compile."""
    for wrapper in ("module.", "_orig_mod."):
        name = name.removeprefix(wrapper)
    return name


def _tensors(loaded: object) -> dict[str, TorchTensor]:
    """Return the tensors of a state dict by name."""
    if not isinstance(loaded, Mapping):
        return {}
    nested = next((loaded[key] for key in _NESTED if isinstance(loaded.get(key), Mapping)), loaded)
    return {k: v for k, v in nested.items() if isinstance(v, TorchTensor) and isinstance(k, str)}
