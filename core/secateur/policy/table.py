"""The base of a policy's own tables: a mistake in a constructor is a PolicyError."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from secateur.components.component import Table
from secateur.errors import PolicyError
from secateur.policy.limits import check_table
from secateur.policy.messages import explain
from secateur.policy.origins import Origins


class PolicyTable(Table):
    """A table of a policy file that can also be made in code, with the same errors."""

    if not TYPE_CHECKING:  # a type checker sees the fields as arguments

        def __init__(self, /, *values: Any, **data: Any) -> None:
            name = type(self).__name__
            if values:
                raise PolicyError(
                    f"{name}(...) takes its settings by name; Policy.parse takes a mapping"
                )
            check_table(data, name)
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise explain(error, Origins(name)) from None

        # pydantic then makes nested tables without this method, so that an error in one keeps
        # its location within the whole
        __init__.__pydantic_base_init__ = True
