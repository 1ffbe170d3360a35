"""What the core asks of the process around it. `server` implements these; `testing` has small ones.

Rules of this file: Protocols only; a port is what at least one engine of the family "system" calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from strongroom.core.content import Content


class ServerLog(Protocol):
    """The log of all processes of this server."""

    @property
    def level(self) -> str:
        """The least level that is written."""
        ...

    def say_from(self, level: str) -> None:
        """Write what is of this level or above from now on. Raises InvalidRequest."""
        ...

    def reset_level(self) -> None:
        """Go by the configuration again."""
        ...

    def follow(self, level: str, form: str, ended: Callable[[], bool]) -> Content:
        """What is said from now on, until `ended`. Raises InvalidRequest."""
        ...


class Process(Protocol):
    """The running server, seen from a route."""

    @property
    def log(self) -> ServerLog:
        """Its log."""
        ...

    @property
    def alone(self) -> bool:
        """Whether no other worker has the keys, or may have them still."""
        ...

    def seal_others(self) -> bool:
        """Seal all workers but this one; takes a moment, so not on the loop. Raises Unavailable.

        False where another worker seals the server just now: this one may seal as well, and do nothing else.
        """
        ...

    def seal(self, then: Callable[[], None] | None = None) -> None:
        """Seal this worker once the present answers are out. `then` needs no keys of ours, and is done before anything else is served.

        Raises Unavailable where something is to be done `then` and a seal is under way already.
        """
        ...

    def unsealed(self) -> None:
        """The barrier of this process was just opened: start timers, load audit devices."""
        ...

    def reload(self) -> None:
        """Read certificates and the reloadable part of the configuration again; reopen audit files."""
        ...

    def metrics(self) -> bytes:
        """Metrics in Prometheus' text format."""
        ...

    def after_answer(self, action: Callable[[], None]) -> None:
        """Run something once the answers of this tick are on their way."""
        ...
