"""What runtimes and hardware do with zeros, from a data file for each.

`load` reads what a target takes, `judge` compares a bound model with it, and `suggest` writes a
policy that the target takes for this model.
"""

from __future__ import annotations
