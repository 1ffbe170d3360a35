"""A server whose records are not bound to their rows: the negative control of T26.1."""

from __future__ import annotations

import sys

from strongroom.crypto.records import RecordCipher
from strongroom.server.serve import run

_seal, _open = RecordCipher.seal, RecordCipher.open
_opener = getattr(RecordCipher, "opener", None)

if __name__ == "__main__":
    RecordCipher.seal = lambda self, _key, generation, text: _seal(self, b"", generation, text)  # type: ignore[method-assign]
    RecordCipher.open = lambda self, _key, record: _open(self, b"", record)  # type: ignore[method-assign]
    RecordCipher.opener = lambda self, _key, record: _opener(self, b"", record)  # type: ignore[method-assign]
    sys.exit(run(sys.argv[1:]))
