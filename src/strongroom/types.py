"""Small value types that cross every layer: durations as Vault's clients write and read them.

Rules of this file: durations are whole seconds once inside; text forms are Go's. Reading is linear in the text and ASCII only.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import lru_cache

MAX_SECONDS = 100 * 366 * 86_400
"""A hundred years and a bit: people who want no end write 876000h. Nanosecond instants stay below 2^63, which is in the year 2262."""

MAX_TEXT = 64
"""Characters of a duration; longer ones are taken for mistakes."""

_UNITS = {
    "ns": Decimal("1e-9"),
    "us": Decimal("1e-6"),
    "µs": Decimal("1e-6"),
    "ms": Decimal("1e-3"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86_400),
}
_PART = re.compile(r"(\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(ns|us|µs|ms|s|m|h|d)", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?", re.ASCII)


def parse_duration(value: object) -> int:
    """Whole seconds of `3600`, `"3600"`, `"1h30m"`, `"1.5h"`, `"2d"`; fractions of a second are cut off. Raises ValueError.

    Less than a second counts as one: 0 says "not wrapped", "no limit" or "the default", which nobody meant who wrote 500ms.
    A negative duration is returned as such: whether it means something is the caller's to say.
    """
    if isinstance(value, bool) or not isinstance(value, int | str | Decimal):
        raise ValueError("a duration is a number of seconds or a text such as 90s, 30m, 1h30m, 2d")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ValueError("a duration is a number of seconds or a text such as 90s, 30m, 1h30m, 2d")
    seconds = _text_seconds(value.strip()) if isinstance(value, str) else Decimal(value)
    if not seconds.is_finite() or abs(seconds) > MAX_SECONDS:
        raise ValueError("the duration is longer than a hundred years")
    return int(seconds) or (seconds > 0) - (seconds < 0)


@lru_cache(maxsize=1_024)
def _text_seconds(text: str) -> Decimal:
    if text == "":
        return Decimal(0)
    if _NUMBER.fullmatch(text):
        return Decimal(text)
    sign = -1 if text[0] == "-" else 1
    at = 1 if text[0] in "+-" else 0
    total = Decimal(0)
    if at == len(text):
        raise ValueError("a duration is a number of seconds or a text such as 90s, 30m, 1h30m, 2d")
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            raise ValueError("a duration is a number of seconds or a text such as 90s, 30m, 1h30m, 2d")
        try:
            total += Decimal(part[1]) * _UNITS[part[2]]
        except InvalidOperation:
            raise ValueError("the duration is longer than a hundred years") from None
        at = part.end()
    return sign * total


def format_duration(seconds: int) -> str:
    """Go's text form: `0s`, `45s`, `1m0s`, `3h25m19s`."""
    if seconds == 0:
        return "0s"
    sign = "-" if seconds < 0 else ""
    minutes, rest = divmod(abs(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{rest}s"
    return f"{sign}{minutes}m{rest}s" if minutes else f"{sign}{rest}s"


def brief_duration(seconds: int) -> str:
    """Go's text form without its noughts: `1m`, `768h`, `1h5s`."""
    text = format_duration(seconds)
    if text.endswith("m0s"):
        text = text.removesuffix("0s")
    return text.replace("h0m", "h")
