"""secateur prune as one rank; with the words ``die`` first, rank 1 is killed while it writes."""

from __future__ import annotations

import os
import signal
import sys

from secateur.cli import main
from secateur.streaming import tensor

if sys.argv[1] == "die":
    del sys.argv[1]
    if os.environ["RANK"] == "1":
        tensor.set_zeros = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
main()
