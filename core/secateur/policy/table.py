"""The base of a policy's own tables: a mistake in a constructor is a PolicyError."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from secateur.components.component import Table
from secateur.policy.messages import explain
from secateur.policy.origins import Origins


class PolicyTable(Table):
    """A table of a policy file that can also be made in code, with the same errors."""

    if not TYPE_CHECKING:  # a type checker sees the fields as arguments

        def __init__(self, /, **data: Any) -> None:
            try:
                super().__init__(**data)
            except ValidationError as error:
                raise explain(error, Origins(type(self).__name__)) from None

        # pydantic then makes nested tables without this method, so that an error in one keeps
        # its location within the whole
        __init__.__pydantic_base_init__ = True
