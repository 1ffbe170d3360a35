"""Breaks a function at its n-th line, whichever that is: what a handler staged before must not be seen after (T8.2)."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any


def lines_until(stop: int, code: CodeType, run: Callable[[], object]) -> int:
    """Call `run` while the `stop`-th line of `code` raises; how many lines it came to."""
    lines = 0

    def on_line(_frame: FrameType, event: str, _argument: object) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            if lines == stop:
                raise RuntimeError("failpoint")
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: object) -> Any:
        return on_line if frame.f_code is code else None

    tracer = sys.gettrace()
    sys.settrace(on_call)
    try:
        run()
    except RuntimeError:
        pass
    finally:
        sys.settrace(tracer)
    return lines
