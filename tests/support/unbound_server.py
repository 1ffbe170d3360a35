"""A server whose records are not bound to their rows: the negative control of T26.1."""

from __future__ import annotations

import sys
from collections.abc import Callable

from strongroom.crypto.records import RecordCipher
from strongroom.server.serve import run
from tests.support.patching import put

_seal, _sealer, _open, _opener = RecordCipher.seal, RecordCipher.sealer, RecordCipher.open, RecordCipher.opener


def sealer(self: RecordCipher) -> Callable[[bytes, int, bytes], bytes]:
    seal = _sealer(self)
    return lambda _key, generation, text: seal(b"", generation, text)


if __name__ == "__main__":
    put(
        RecordCipher,
        seal=lambda self, _key, generation, text: _seal(self, b"", generation, text),
        sealer=sealer,
        open=lambda self, _key, record: _open(self, b"", record),
        opener=lambda self, _key, record: _opener(self, b"", record),
    )
    sys.exit(run(sys.argv[1:]))
