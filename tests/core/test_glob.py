"""Patterns of names: as shell patterns have it, and quick whatever the text."""

from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.glob import fits, fits_any

TEXTS = st.text("ab", max_size=12)
GLOBS = st.text("ab*", max_size=8)


@given(TEXTS, GLOBS)
def test_a_star_is_any_text(text: str, glob: str) -> None:
    assert fits(text, glob) is fnmatchcase(text, glob)


def test_nothing_else_is_special() -> None:
    assert not fits("b", "?") and not fits("b", "[ab]") and fits("?", "?") and fits("a\nb", "a*b")
    assert fits_any("web-1", ("db-*", "web-*")) and not fits_any("web-1", ("db-*",)) and not fits_any("web-1", ())
