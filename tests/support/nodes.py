"""Several server processes on one database, as nodes of one installation.

Rules of this file:
- A node is a `Server` with a seal key and a port of its own; the key is the same for all, so each opens the store by itself.
- The first node initialises; the others follow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.server import Server

STORAGE = 'storage "postgresql" {{ connection_url = "{url}" }}'


def node(directory: Path, url: str, seal: str = "", *, storage: str = STORAGE, **options: Any) -> Server:
    """A node that was not started yet; `seal` is the key of the others."""
    directory.mkdir(parents=True, exist_ok=True)
    made = Server(directory, storage=storage.format(url=url), **options)
    if seal:
        made.seal_key.write_text(seal)
    return made


@contextlib.contextmanager
def nodes(directory: Path, urls: Sequence[str], *, ready: int = 200, **options: Any) -> Iterator[list[Server]]:
    """A node for each address of the same database, initialised and open; the others than the first say `ready` in sys/health."""
    first = node(directory / "0", urls[0], **options)
    made = [first]
    try:
        first.begin()
        for number, url in enumerate(urls[1:], 1):
            other = node(directory / str(number), url, first.seal_key.read_text(), **options)
            made.append(other)
            other.token, other.recovery_key = first.token, first.recovery_key
            other.start(ready)
        yield made
    finally:
        for each in made:
            each.close()
