"""How much is worked on at a time.

These are read when they are needed, so that a test sets one in this one place.
"""

from __future__ import annotations

CHUNK = 1 << 19
"""Elements that are worked on at a time: 2 MiB of float32.

Smaller pieces fit the L2 cache better, but threads then wait for the interpreter lock."""
COMPARED = 2 * CHUNK
"""Elements of at most 32 bits that are compared, or cleared, at a time, in several short passes.

Threads that pass over fewer wait for each other so often that two take as long as one."""
SPAN = 8 * CHUNK
"""Positions of which one thread takes the keys at a time."""
SMALL = 1 << 14
"""Up to this size all keys are collected: a sample would cost more."""
COLLECTED = 4 << 20
"""The most candidates that are collected: with key, offset and working copy, 48 MiB."""
COUNTED = CHUNK // 8
"""Keys that are counted at a time: their digits take 8 bytes each, several times over."""
DIGESTED = CHUNK // 8
"""Elements whose content is mixed at a time: each takes some 40 bytes."""
POOLED = CHUNK // 2
"""Elements that are pooled, or squared, at a time."""
GATHERED = 1 << 15
"""Elements, or groups, that a worker brings together in a round: each takes some hundred bytes."""
WHOLE = 32 << 20
"""Bytes of the largest weight of a file that is read whole where its mask is made at once."""
PIECE = 2 << 20
"""Bytes of a file that are read, masked or copied, and written at a time."""
READ_TOGETHER = 256
"""Neighbours that are read together where single elements of a file are sampled."""
UPDATED = CHUNK // 8
"""Elements whose memory is updated at a time: a criterion makes several float64 arrays of them."""
