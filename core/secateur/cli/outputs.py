"""What a command may write: checked before anything is read, and before anything is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from secateur.files import check_output


def check_outputs(outputs: Sequence[Path | None], inputs: Iterable[Path]) -> None:
    """Check that each output can be written, and is no input and no other output.

    Args:
        outputs: The files that will be written; None for one that is not wanted.
        inputs: The files that are read.

    Raises:
        OSError: An output would do harm; the message names it.

    """
    taken = list(inputs)
    for output in outputs:
        if output is not None:
            check_output(output, taken)
            taken.append(output)
