"""Files, written whole or not at all, and read only where there is an end to them."""

from __future__ import annotations

from secateur.files.atomic import Draft, atomically, write_atomically
from secateur.files.checks import (
    check_absent,
    check_input,
    check_output,
    check_outputs,
    is_same_file,
    read_bounded,
)
from secateur.files.folders import NewFolder, check_new_folder
from secateur.files.notes import comment_on, policy_in

__all__ = [
    "Draft",
    "NewFolder",
    "atomically",
    "check_absent",
    "check_input",
    "check_new_folder",
    "check_output",
    "check_outputs",
    "comment_on",
    "is_same_file",
    "policy_in",
    "read_bounded",
    "write_atomically",
]
