"""The policy by which a file was pruned, noted in the comment of a zip archive."""

from __future__ import annotations

_NOTE = b"secateur_policy "


def comment_on(fingerprint: str) -> bytes:
    """Return the comment of an archive that notes the fingerprint of a policy.

    >>> policy_in(comment_on("0123abcd"))
    '0123abcd'
    """
    return _NOTE + fingerprint.encode()


def policy_in(comment: bytes) -> str | None:
    """Return the fingerprint that the comment of an archive notes; None where it notes none."""
    if not comment.startswith(_NOTE):
        return None
    return comment.removeprefix(_NOTE).decode("utf-8", "replace")
