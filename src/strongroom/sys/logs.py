"""The log while the server runs: how much is written, and what is, as it happens.

Rules of this file:
- It is one node's log, of all its processes; other nodes are asked at their own addresses. Nothing secret is in it (server/logs.py).
- A level that is set here holds until the configuration is read again: at the next start or SIGHUP.
- Who follows the log does so until the token that he came with ends, at most for an hour, and not beyond sealing: later requests of a
  token that was revoked are refused, and this one makes no others.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.core.content import ENDLESS
from strongroom.core.engine import delete, read, write
from strongroom.core.response import Bare, Response
from strongroom.errors import InvalidRequest
from strongroom.sys.routes import Routes

LONGEST: Final = 3_600 * 1_000_000_000
"""Nanoseconds for which a log is followed: a token that was revoked meanwhile must not go on reading for ever."""
TEXT: Final = "text/plain; charset=utf-8"
LOGGER: Final = "core"
"""The name of the only logger: one that Vault always has."""


class MonitorBody(msgspec.Struct, frozen=True):
    """What to show of the log."""

    log_level: Annotated[str, "the least level: trace, debug, info, warn or error"] = "info"
    log_format: Annotated[str, "standard or json"] = "standard"


class LevelBody(msgspec.Struct, frozen=True):
    """How much to log."""

    level: Annotated[str | UnsetType, "the least level: trace, debug, info, warn or error"] = UNSET


class LogRoutes(Routes):
    """The log while the server runs."""

    @read("monitor", body=MonitorBody)
    def monitor(self, body: MonitorBody) -> Response:
        """Show what is logged from now on, line by line, until the client hangs up."""
        barrier, now, token = self.core.barrier, self.clock.now, self.call.token
        until = now() + LONGEST
        if token is not None and token.entry.expires:
            until = min(until, token.entry.expires)
        lines = self.core.process.log.follow(body.log_level or "info", body.log_format.lower(), lambda: barrier.sealed or now() >= until)
        return Response(bare=Bare(b"", TEXT, file=lines, size=ENDLESS))

    @read("loggers")
    def read_loggers(self) -> Response:
        """Show the level of every logger; there is one."""
        return Response(data={LOGGER: self.core.process.log.level})

    @write("loggers", body=LevelBody, writes=False)
    def set_loggers(self, body: LevelBody) -> None:
        """Log more or less, until the configuration is read again."""
        self._set(body)

    @delete("loggers", writes=False)
    def reset_loggers(self) -> None:
        """Log as the configuration says."""
        self.core.process.log.reset_level()

    @read("loggers/{name...}")
    def read_logger(self, name: str) -> Response:
        """Show the level of a logger."""
        return self.read_loggers() if name == LOGGER else Response(data={})

    @write("loggers/{name...}", body=LevelBody, writes=False)
    def set_logger(self, name: str, body: LevelBody) -> None:
        """Log more or less, until the configuration is read again."""
        if name == LOGGER or not body.level:
            self._set(body)
        else:
            raise _no_such(name)

    @delete("loggers/{name...}", writes=False)
    def reset_logger(self, name: str) -> None:
        """Log as the configuration says."""
        if name != LOGGER:
            raise _no_such(name)
        self.core.process.log.reset_level()

    def _set(self, body: LevelBody) -> None:
        if not body.level:
            raise InvalidRequest("level is required" if body.level is UNSET else "level is empty")
        try:
            self.core.process.log.say_from(body.level)
        except InvalidRequest as error:
            raise InvalidRequest(f"invalid level provided: {'; '.join(error.messages)}") from None


def _no_such(name: str) -> InvalidRequest:
    return InvalidRequest(f'logger "{name}" not found; there is one, {LOGGER}')
