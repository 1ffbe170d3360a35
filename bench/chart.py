"""One chart as SVG: bars in groups, with nothing but text and rectangles.

Rules of this file: widths are proportional to the values, from zero; every bar has its number; the colour-blind can tell the colours apart,
on white and on black.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
"""Okabe and Ito's."""
BAR, GAP, LEFT, WIDTH, RIGHT, TOP = 14, 14, 230, 460, 90, 64
FONT = 'font-family="sans-serif" font-size="12" fill="#808080"'


class Bars(NamedTuple):
    """A group: its name, and a value for each series; None where there is none."""

    name: str
    values: Sequence[float | None]


def chart(title: str, unit: str, series: Sequence[str], groups: Sequence[Bars]) -> str:
    """The whole file."""
    most = max((value for group in groups for value in group.values if value is not None), default=1.0) or 1.0
    parts, y = [], TOP
    for group in groups:
        shown = [(number, value) for number, value in enumerate(group.values) if value is not None]
        parts.append(_text(LEFT - 8, y + len(shown) * BAR / 2 + 4, group.name, "end"))
        for number, value in shown:
            parts.append(_bar(y, value / most * WIDTH, COLOURS[number % len(COLOURS)]))
            parts.append(_text(LEFT + value / most * WIDTH + 6, y + 11, f"{value:.3g}", "start"))
            y += BAR
        y += GAP
    return _page(y, [_text(8, 20, f"{title} ({unit})", "start", "bold"), *_legend(series), *parts])


def _legend(series: Sequence[str]) -> list[str]:
    parts = []
    for number, name in enumerate(series):
        x = LEFT + number * 130
        parts.append(f'<rect x="{x}" y="32" width="10" height="10" fill="{COLOURS[number % len(COLOURS)]}"/>')
        parts.append(_text(x + 14, 41, name, "start"))
    return parts


def _bar(y: float, width: float, colour: str) -> str:
    return f'<rect x="{LEFT}" y="{y:g}" width="{max(width, 1):.1f}" height="{BAR - 3}" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'


def _page(height: float, parts: Sequence[str]) -> str:
    width = LEFT + WIDTH + RIGHT
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" {FONT}>'
    return "\n".join([head, *parts, "</svg>"]) + "\n"
