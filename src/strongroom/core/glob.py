"""Patterns of names in roles: `*` stands for any text, everything else for itself, and there is no way to escape.

Rules of this file: the whole text must fit; the work is linear in the text for each `*`, since strangers choose the text.
"""

from __future__ import annotations

from collections.abc import Iterable


def fits(text: str, glob: str) -> bool:
    """Whether a text is what a pattern says."""
    first, *rest = glob.split("*")
    if not rest:
        return text == glob
    last = rest.pop()
    if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in rest:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True


def fits_any(text: str, globs: Iterable[str]) -> bool:
    """Whether a text is what one of the patterns says."""
    return any(fits(text, glob) for glob in globs)
