"""What a live model no longer has as it was when it was bound."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from secateur.adapter import ATTACH_AGAIN, Found, Skipped
from secateur.errors import ModelError
from secateur_torch.memory import packed_rows
from secateur_torch.parametrization import ParameterSlot
from secateur_torch.weight import TorchWeight

Weight = Found[ParameterSlot]


class LiveModel:
    """A walk over the live model, by slots and by names.

    Args:
        met: What the walk meets.

    """

    def __init__(self, met: Iterable[Weight | Skipped]) -> None:
        self._slots: dict[object, Weight] = {}
        self._names: dict[str, Weight] = {}
        self._skipped: dict[str, str] = {}
        self._tied: dict[object, set[str]] = {}
        for each in met:
            if isinstance(each, Skipped):
                self._skipped.setdefault(each.name, each.reason)
            else:
                self._slots.setdefault(_slot_key(each.where, packed_rows(each.entry)), each)
                self._names.setdefault(each.name, each)
                self._tied.setdefault(each.identity, set()).add(each.name)

    def changes(self, weights: Sequence[TorchWeight]) -> Mapping[str, str]:
        """Return a note on each weight that is not in the model as it was bound.

        Args:
            weights: The weights as they were bound.

        Returns:
            The name of the weight to a note.  One that is no longer tied has its note under the
            name that it is not tied to.

        """
        notes: dict[str, str] = {}
        for weight in weights:
            name = weight.spec.name
            found = self._slots.get(_slot_key(weight.slot, packed_rows(weight.entry)))
            if found is None:
                notes[name] = f"{self._missing(name)}{ATTACH_AGAIN}"
                continue
            try:
                weight.current()
            except ModelError as error:
                notes[name] = str(error)
            else:
                notes |= self._moved(weight, found) or self._ties(weight, found)
        return notes

    def _missing(self, name: str) -> str:
        """Describe what became of a weight whose layer the model does not have any more."""
        layer = name.rpartition(":")[0]
        above = (layer[:end] for end, sign in enumerate(layer) if sign == ".")
        reason = next((self._skipped[n] for n in (name, layer, *above) if n in self._skipped), None)
        if reason is not None:
            return f"{name} has changed since the pruner was attached, and is not pruned: {reason}"
        if name in self._names:
            return (
                f"{name} is the weight of another layer than when the pruner was attached, and is "
                "not pruned: the layer was replaced"
            )
        return (
            f"{name} is no longer in the model, or not as a weight that is known: its layer was "
            "removed, renamed or replaced after the pruner was attached"
        )

    def _moved(self, weight: TorchWeight, found: Weight) -> Mapping[str, str]:
        """Describe a weight whose name is that of another one now."""
        name = weight.spec.name
        present = self._names.get(name)
        if present is None or present.identity == found.identity:
            return {}
        note = (
            f"{name} is the weight of another layer than when the pruner was attached, and is not "
            f"pruned: the layer was moved, and is pruned as {found.name}"
        )
        return {name: f"{note}{ATTACH_AGAIN}"}

    def _ties(self, weight: TorchWeight, found: Weight) -> Mapping[str, str]:
        name, aliases = weight.spec.name, weight.spec.aliases
        now = self._tied[found.identity]
        if new := sorted(now - {found.name, name, *aliases}):
            note = (
                f"{name} was tied to {new[0]} after the pruner was attached, so that it has the "
                f"masks of both{ATTACH_AGAIN}"
            )
            return {name: note}
        return {
            alias: f"{alias} is not tied to {name} any more, and is not pruned{ATTACH_AGAIN}"
            for alias in aliases
            if alias not in now and alias in self._names
        }


def _slot_key(slot: ParameterSlot, rows: tuple[int, int] | None) -> object:
    return id(slot.owner), slot.key, rows
