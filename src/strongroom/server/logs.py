"""Structured logs that cannot print a secret.

Rules of this file:
- An event is a constant sentence plus named values; values are numbers, booleans and short texts of the server's own making.
- Bytes, Secrets, structs and anything else are shown by type and size only. Names that sound secret are dropped whatever they hold.
- An exception is logged as its type and the places it passed, never its text or locals: either may hold what a caller sent.
- What could move the cursor or begin a line of its own is escaped.
- Nothing on the request path logs. A log that cannot be written stops nothing.
- What is said is also kept for a moment where every worker can follow it (logtail.py), below the log's level, too. The level is one for
  all processes of the server.
"""

from __future__ import annotations

import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog

from strongroom.core.call import Call
from strongroom.errors import ConfigError, InvalidRequest, StorageTampered
from strongroom.server.logtail import LogTail

LEVELS = {"trace": 5, "debug": 10, "info": 20, "notice": 20, "warn": 30, "warning": 30, "error": 40, "err": 40}
_NAMES = {5: "trace", 10: "debug", 20: "info", 30: "warn", 40: "error"}
MAX_TEXT = 400
MAX_ITEMS = 40
_SECRET_WORDS = frozenset(
    """
    token secret password passwd passphrase key share credential authorization cookie otp nonce body data jwt pin bearer connection
    """.split()
)
_HARMLESS = frozenset(("token_type", "secret_shares", "secret_threshold"))
_RAISED = ("exc_info", "exception", "stack_info", "stack")
"""Names by which a renderer would print tracebacks with texts and locals."""
_WORD = re.compile(r"[^a-z]+")

Event = MutableMapping[str, Any]


def _redact(_logger: object, _method: str, event: Event) -> Event:
    for name, value in list(event.items()):
        if name in _RAISED:
            del event[name]
        elif name not in _HARMLESS and _sounds_secret(name):
            event[name] = "…"
        else:
            event[name] = _shown(value)
    return event


def _sounds_secret(name: str) -> bool:
    words = _WORD.split(name.lower())
    return not _SECRET_WORDS.isdisjoint(words) or not _SECRET_WORDS.isdisjoint(word.removesuffix("s") for word in words)


def _shown(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        text = str.__str__(value) if len(value) <= MAX_TEXT else value[:MAX_TEXT] + "…"
        return text if text.isprintable() else text.encode("unicode_escape").decode()
    if isinstance(value, list | tuple) and len(value) <= MAX_ITEMS and not any(isinstance(item, list | tuple) for item in value):
        return [_shown(item) for item in value]
    size = f", {len(value)}" if isinstance(value, bytes | dict | set | list | tuple) else ""
    return f"<{type(value).__name__}{size}>"


class Log:
    """The server's log; `report` is for exceptions that are bugs. It goes to standard error, or to a file of its own."""

    def __init__(
        self,
        level: str = "info",
        form: str = "standard",
        stream: TextIO | None = None,
        path: str = "",
        tail: LogTail | None = None,
        ring: int = 0,
        **bound: object,
    ) -> None:
        if form not in ("standard", "json", ""):
            raise ConfigError("log_format is standard or json")
        self._form, self._path, self._bound = form, Path(path) if path else None, bound
        self._stream = stream or (_appending(self._path) if self._path is not None else sys.stderr)
        self._tail, self._ring, self._writing = tail or LogTail(1), ring, threading.Lock()
        self.tampered = 0
        """How often something was read that is not what was written: an alarm."""
        self._configured = level
        if not ring:  # the process that was started has the first; others go by its level
            self.set_level(level)
        self._begin()

    def _begin(self) -> None:
        self._logger = structlog.wrap_logger(
            structlog.WriteLogger(self._stream),
            processors=[
                structlog.processors.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
                _redact,
                self._keep,
                _renderer(self._form),
            ],
            wrapper_class=structlog.make_filtering_bound_logger(0),
            context_class=dict,
        ).bind(**self._bound)

    def _keep(self, _logger: object, _method: str, event: Event) -> Event:
        """For whoever follows; and on to the log what its level lets through."""
        with self._writing:
            self._tail.write(self._ring, msgspec.json.encode(event))
        if LEVELS[event["level"]] < self._tail.level:
            raise structlog.DropEvent
        return event

    # -- the level, and what was said: core/ports.py ---------------------------------------------------------------

    @property
    def level(self) -> str:
        """The least level that is written."""
        return _NAMES[self._tail.level]

    def set_level(self, level: str) -> None:
        """As the configuration says it. Raises ConfigError."""
        if level.lower() not in LEVELS:
            raise ConfigError(f"log_level is one of {', '.join(sorted(LEVELS))}")
        self._configured = level
        self.say_from(level)

    def say_from(self, level: str) -> None:
        """Say more or less from now on, in every process of this server, until the configuration is read again. Raises InvalidRequest."""
        self._tail.level = _number(level)

    def reset_level(self) -> None:
        """Go by the configuration again."""
        self.say_from(self._configured)

    def follow(self, level: str, form: str, ended: Callable[[], bool]) -> Following:
        """What is said from now on by any process of this server. Raises InvalidRequest."""
        if form not in ("standard", "json"):
            raise InvalidRequest("unknown log format; there are standard and json")
        return Following(self._tail, _number(level), form, ended)

    # -- the file -------------------------------------------------------------------------------------------------

    def reopen(self) -> None:
        """Begin the log file anew where it was moved away, as by logrotate. Raises ConfigError and keeps the old one."""
        if self._path is not None:
            old, self._stream = self._stream, _appending(self._path)
            self._begin()
            old.close()

    def try_reopen(self) -> None:
        """The same, where a file that cannot be written is only said to be so."""
        try:
            self.reopen()
        except ConfigError as error:
            self.error("the log file stays as it is", reason="; ".join(error.messages))

    def bound(self, ring: int, **values: object) -> Log:
        """A log for another process, to the same place, whose every line has these values; each process has a ring of its own."""
        stream = None if self._path is not None else self._stream
        return Log(self._configured, self._form, stream, str(self._path or ""), self._tail, ring, **values)

    # -- what is said ---------------------------------------------------------------------------------------------

    def info(self, event: str, **values: object) -> None:
        """Something worth knowing."""
        self._say(self._logger.info, event, **values)

    def warning(self, event: str, **values: object) -> None:
        """Something an operator should look at."""
        self._say(self._logger.warning, event, **values)

    def error(self, event: str, **values: object) -> None:
        """Something failed."""
        self._say(self._logger.error, event, **values)

    def _say(self, write: Callable[..., object], event: str, **values: object) -> None:
        with suppress(OSError, ValueError):  # the log is gone: a closed pipe, a full disk
            write(event, **values)

    def report(self, error: BaseException, call: Call | None = None) -> None:
        """An exception that nobody expected, or an alarm: rows that are not what this server wrote."""
        if isinstance(error, StorageTampered):
            self.tampered += 1
            self._logger.error("storage_tampered", what=error.what, request=call.request.id if call is not None else "")
            return
        frames = traceback.extract_tb(error.__traceback__)[-12:]
        self._say(
            self._logger.error,
            "unexpected exception",
            kind=type(error).__name__,
            request=call.request.id if call is not None else "",
            frames=[f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
        )


class Following:
    """Lines of the log from a level on, read as they come (`core.content.Content`); `ended` says when there will be no more."""

    def __init__(self, tail: LogTail, least: int, form: str, ended: Callable[[], bool]) -> None:
        self._tail, self._least, self._render, self._ended = tail, least, _renderer(form), ended
        self._at = [tail.end(ring) for ring in range(tail.rings)]

    @property
    def closed(self) -> bool:
        """Whether there will be no more."""
        return self._ended()

    def read(self, _size: int, /) -> bytes:
        """What was said since the last look, by all processes, in the order of time; a few rings at most."""
        events = [event for ring in range(self._tail.rings) for event in self._new(ring) if LEVELS[event["level"]] >= self._least]
        events.sort(key=lambda event: str(event["timestamp"]))
        return "".join(f"{self._render(None, '', event)}\n" for event in events).encode()

    def _new(self, ring: int) -> list[Event]:
        lines, self._at[ring], lost = self._tail.read(ring, self._at[ring])
        missing: list[Event] = [{"event": "lines of the log are missing here: too many came at once", "level": "warning", "timestamp": ""}]
        return (missing if lost else []) + [msgspec.json.decode(line, type=dict[str, Any]) for line in lines]


def _number(level: str) -> int:
    if level.lower() not in LEVELS:
        raise InvalidRequest(f"unknown log level; there are {', '.join(_NAMES.values())}")
    return LEVELS[level.lower()]


def _renderer(form: str) -> Any:
    return structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)


def _appending(path: Path) -> TextIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"log_file {path} cannot be written: {error.strerror}") from None
