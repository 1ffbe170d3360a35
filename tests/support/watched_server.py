"""A server that writes down, in the file `seen`, which path its policy check saw and which name its storage used.

With the word `careless` as its first argument storage folds the case of names: the negative control of T4.1.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from strongroom.core.policy.acl import Acl
from strongroom.engines.kv.store import KeyValue
from strongroom.server.serve import run
from tests.support.patching import put

SEEN = Path("seen")

_check, _row, _listed, _scanned = Acl.check, KeyValue.row, KeyValue.listed, KeyValue.scanned
careless = sys.argv[1:2] == ["careless"]


def note(what: str, path: str) -> None:
    with SEEN.open("a") as file:
        file.write(json.dumps([what, path]) + "\n")


def check(self: Acl, operation: Any, path: str, *rest: Any, **more: Any) -> Any:
    note("acl", path)
    return _check(self, operation, path, *rest, **more)


def used(path: str) -> str:
    name = path.casefold() if careless else path
    note("storage", name)
    return name


if __name__ == "__main__":
    put(Acl, check=check)
    put(
        KeyValue,
        row=lambda self, path: _row(self, used(path)),
        listed=lambda self, path, body: _listed(self, used(path), body),
        scanned=lambda self, path, body: _scanned(self, used(path), body),
    )
    sys.exit(run(sys.argv[2:] if careless else sys.argv[1:]))
