"""A server that fails on request: the file `fault` in its working directory says how. For looking at what it says when things go wrong.

storage   every commit meets an I/O error           audit   no audit line can be written
bug       every route raises, quoting the request   leak    every KV write prints its data: the negative control
"""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import apsw

from strongroom.core.call import Call
from strongroom.core.core import Core, Found
from strongroom.core.response import Response
from strongroom.engines.kv.store import KeyValue
from strongroom.server.serve import run
from strongroom.sinks.file import File
from strongroom.storage.sqlite import SqliteGroup
from tests.support.patching import put

FAULT = Path("fault")

_commit, _write, _route, _save = SqliteGroup.commit, File.write, Core._route, KeyValue.save


def mode() -> str:
    """What is to fail now."""
    with contextlib.suppress(FileNotFoundError):
        return FAULT.read_text().strip()
    return ""


def commit(self: SqliteGroup) -> None:
    if mode() == "storage":
        raise self._fail(apsw.IOError("injected"))
    _commit(self)


def write(self: File, block: bytes) -> None:
    if mode() == "audit":
        raise OSError(28, "injected")
    _write(self, block)


def route(self: Core, call: Call, found: Found) -> Response:
    if mode() == "bug":
        data = call.request.data
        raise RuntimeError(f"injected: {data!r} {call.request.raw!r} {call.request.credential.reveal()}")
    return _route(self, call, found)


def save(self: KeyValue, row: bytes, head: Any) -> None:
    if mode() == "leak":
        print(f"writing {head.data!r}", file=sys.stderr, flush=True)
    _save(self, row, head)


if __name__ == "__main__":
    put(SqliteGroup, commit=commit)
    put(File, write=write)
    put(Core, _route=route)
    put(KeyValue, save=save)
    sys.exit(run(sys.argv[1:]))
