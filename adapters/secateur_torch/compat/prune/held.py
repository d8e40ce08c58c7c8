"""What keeps a parameter masked: through forward passes, gradients, updates and loading."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, MutableMapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.hooks import unserializable_hook

from secateur.errors import ModelError
from secateur_torch.masking import clear_pruned
from secateur_torch.parametrization import unprunable_reason
from secateur_torch.updates import owned_ids

_jit: Any = torch.jit  # its checks have no types


class HeldMask:
    """Keeps one parameter of a module masked, by the buffer ``<name>_mask`` beside it.

    The mask is read from the buffer each time, so that one that was moved, loaded or edited
    counts.  A copy or an unpickled module holds its own.

    Args:
        module: The module.
        name: The name of its parameter.

    """

    def __init__(self, module: nn.Module, name: str) -> None:
        self.name = name
        self._gradient_hook: Any = None
        self._begin(module)

    def _begin(self, module: nn.Module) -> None:
        self._module = weakref.ref(module)
        _held.add(self)
        _watch_optimizers()

    def __getstate__(self) -> dict[str, Any]:
        return {"name": self.name, "module": self._module()}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.name, self._gradient_hook = state["name"], None
        self._begin(state["module"])

    def install(self, module: Any, mask: Tensor) -> None:
        """Put a mask on the parameter for the first time.

        Args:
            module: The module.
            mask: Of 0 and 1, in the parameter's shape and dtype.

        """
        self._check(module, module._parameters[self.name], mask)
        module.register_buffer(f"{self.name}_mask", mask)
        vars(module)[f"{self.name}_orig"] = module._parameters[self.name]
        # named register_load_state_dict_pre_hook from PyTorch 2.5 on
        module._register_load_state_dict_pre_hook(self.before_load)
        self.enforce(module)

    def release(self) -> None:
        """Let go; the parameter keeps its values."""
        _held.discard(self)
        if self._gradient_hook is not None:
            self._gradient_hook.remove()
        module = self._module()
        if module is None:
            return
        module._buffers.pop(f"{self.name}_mask", None)
        module._non_persistent_buffers_set.discard(f"{self.name}_mask")
        vars(module).pop(f"{self.name}_orig", None)
        hooks: Any = module._load_state_dict_pre_hooks
        for key, hook in list(hooks.items()):
            if getattr(hook, "hook", hook) == self.before_load:
                del hooks[key]

    def enforce(self, module: nn.Module) -> None:
        """Zero what the mask prunes, and see to it that its gradient is masked too.

        Args:
            module: The module, or a replica of it.

        """
        mask, parameter = module._buffers.get(f"{self.name}_mask"), self._parameter(module)
        if parameter is None or _jit.is_tracing():
            return
        if mask is None:
            self._check_is_own(module)
            return
        if not isinstance(parameter, nn.Parameter):  # as torch.func.functional_call passes
            self._mask_one_pass(module, parameter, mask)
        elif torch.compiler.is_compiling():
            _clear_in_graph(parameter, mask)
        else:
            self._check(module, parameter, mask)
            # writing to .data, since nothing changes that autograd has saved
            clear_pruned(parameter.data, mask != 0)
            self._follow(module, parameter)

    def after_update(self, updated: set[int]) -> None:
        """Zero what the mask prunes, if the parameter is one that an optimizer updated.

        Args:
            updated: The ids of the optimizer's parameters.

        """
        module = self._module()
        if module is not None and id(self._parameter(module)) in updated:
            self.enforce(module)

    def mask_gradient(self, gradient: Tensor) -> Tensor:
        """Return a gradient without what the mask prunes.

        Args:
            gradient: The gradient of the parameter.

        """
        module = self._module()
        mask = None if module is None else module._buffers.get(f"{self.name}_mask")
        if mask is None:
            return gradient
        if gradient.is_sparse:  # as of an embedding
            rows = gradient.coalesce()
            kept = mask[tuple(rows.indices())] != 0
            values = torch.where(kept, rows.values(), 0)
            return torch.sparse_coo_tensor(
                rows.indices(), values, rows.shape, check_invariants=False, is_coalesced=True
            )
        return torch.where(mask != 0, gradient, 0)

    def before_load(self, state: MutableMapping[str, Any], prefix: str, *rest: object) -> None:
        """Fit a state dict that is about to be loaded: plain ones and torch's own are welcome.

        Args:
            state: The state dict.
            prefix: What stands before the module's names in it.
            *rest: What else torch passes.

        """
        weight, mask = prefix + self.name, f"{prefix}{self.name}_mask"
        if weight not in state and f"{weight}_orig" in state:
            state[weight] = state.pop(f"{weight}_orig")
        module = self._module()
        if weight not in state or module is None:
            return
        own = module._buffers.get(f"{self.name}_mask")
        if own is None:  # taken away by hand
            return
        values, kept = state[weight], state.setdefault(mask, own)
        if values.shape == kept.shape:
            state[weight] = torch.where(kept.to(values.device) != 0, values, 0)

    def _mask_one_pass(self, module: nn.Module, given: Any, mask: Tensor) -> None:
        """Let one forward pass use a masked copy; what was given is put back after it."""
        parameters: dict[str, Any] = module._parameters

        def put_back(*_: object) -> None:
            parameters[self.name] = given
            handle.remove()

        parameters[self.name] = torch.where(mask != 0, given, 0)
        handle = module.register_forward_hook(put_back, always_call=True)

    def _parameter(self, module: nn.Module) -> Any:
        return module._parameters.get(self.name)

    def _check_is_own(self, module: nn.Module) -> None:
        """Raise ModelError for a layer that took over the hook and the parameter, not the mask."""
        if module is not self._module():
            kind = f"{type(module).__module__}.{type(module).__name__}"
            raise ModelError(
                f"the layer was replaced by a {kind}, which has {self.name} and not its mask, so "
                "nothing would keep it pruned. prune.remove() it before the conversion, and put "
                "the mask on the new layer by prune.custom_from_mask()"
            )

    def _check(self, module: nn.Module, parameter: Tensor, mask: Tensor) -> None:
        kind = type(module).__name__
        if hasattr(parameter, "device_mesh"):
            raise ModelError(
                f"{kind}.{self.name} is sharded over processes, which these calls do not prune; "
                "prune.remove() it before sharding, and give secateur.attach() a policy"
            )
        if parameter.shape != mask.shape:
            raise ModelError(
                f"{kind}.{self.name} has the shape {tuple(parameter.shape)} now, and its mask "
                f"{tuple(mask.shape)}: prune.remove() it, and prune it again"
            )

    def _follow(self, module: nn.Module, parameter: Any) -> None:
        """Follow the module to the parameter that it has now."""
        if f"{self.name}_orig" in vars(module):
            vars(module)[f"{self.name}_orig"] = parameter
        if not parameter.requires_grad or module is not self._module():
            return
        hook = self._gradient_hook
        if hook is None or hook.id not in (parameter._backward_hooks or ()):
            self._gradient_hook = parameter.register_hook(_MaskedGradient(self))


@unserializable_hook  # a copy in another process makes its own
class _MaskedGradient:
    """The hook on a parameter, which does not keep alive what holds its mask."""

    def __init__(self, held: HeldMask) -> None:
        self._held = weakref.ref(held)

    def __call__(self, gradient: Tensor) -> Tensor:
        held = self._held()
        return gradient if held is None else held.mask_gradient(gradient)


def own_parameter(module: nn.Module, name: str) -> nn.Parameter:
    """Return a parameter of a module, checked to be one that can be masked in place.

    Args:
        module: The module.
        name: The name of the parameter.

    Raises:
        AttributeError: The module has none of this name.
        TypeError: It is computed from others, as by a parametrization.

    """
    kind, found = type(module).__name__, module._parameters.get(name)
    if found is None:
        known = [key for key, value in module._parameters.items() if value is not None]
        own = ", ".join(known[:8]) or "none"
        if f"{name}_orig" in module._parameters:
            raise TypeError(
                f"{kind}.{name} is masked by torch.nn.utils.prune, or computed by a hook of the "
                "older weight_norm or spectral_norm; remove that first"
            )
        if isinstance(getattr(module, name, None), Tensor):
            raise TypeError(f"{kind}.{name} is computed, as by a parametrization, or a buffer")
        raise AttributeError(f"{kind} has no parameter {name!r}; there are: {own}")
    if reason := unprunable_reason(found):
        raise TypeError(f"{kind}.{name} {reason}")
    return found


def _clear_in_graph(parameter: Tensor, mask: Tensor) -> None:
    """Zero what a mask prunes by operations that a compiler can trace."""
    if torch.compiler.is_exporting():
        return  # the weights are plain zeros already, and the exported graph stays plain
    with torch.no_grad():
        parameter.masked_fill_(mask == 0, 0)


_held: weakref.WeakSet[HeldMask] = weakref.WeakSet()
_watching: list[object] = []


def _watch_optimizers() -> None:
    """See every update of every optimizer, those that are older than the masks too."""
    if not _watching:
        eager: Any = torch.compiler.disable  # a compiled train step breaks its graph here, once
        _watching.append(register_optimizer_step_post_hook(eager(_after_step)))


def _after_step(optimizer: Optimizer, args: object, kwargs: object) -> None:
    updated = owned_ids(optimizer)
    for held in list(_held):
        held.after_update(updated)
