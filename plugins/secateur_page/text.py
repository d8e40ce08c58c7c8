"""Names and figures as a page shows them."""

from __future__ import annotations

_LONGEST = 300
_MOST_LINES = 500
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def shown(text: object, most: int = _LONGEST) -> str:
    r"""Return a text that any page can show: printable, encodable, of bounded length.

    >>> shown("fc\x00:kernel"), len(shown("a" * 1000))
    ('fc\\x00:kernel', 300)
    """
    words = str(text)
    if len(words) > most:
        half = most // 2
        words = f"{words[: half - 3]} ... {words[2 - half :]}"
    if words.isprintable():
        return words
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in words)


def shown_lines(text: str) -> str:
    """Return lines of text that any page can show, not too many of them."""
    lines = text.splitlines()
    more = [f"... and {len(lines) - _MOST_LINES:,} more lines"] if len(lines) > _MOST_LINES else []
    return "\n".join([*map(shown, lines[:_MOST_LINES]), *more])


def in_bytes(count: int) -> str:
    """Return a number of bytes for people.

    >>> in_bytes(999), in_bytes(12_850), in_bytes(4_000_000)
    ('999 bytes', '12.8 kB', '4.00 MB')
    """
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.3g} {_UNITS[unit]}" if not unit else f"{_three(value)} {_UNITS[unit]}"


def _three(value: float) -> str:
    """Return three digits of a value below 1,000."""
    return f"{value:.{2 - len(str(int(value))) + 1}f}"
