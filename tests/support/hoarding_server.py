"""A server that does not bound the reads that it keeps: the negative control of tests/security/test_attacks_core_memory.py."""

from __future__ import annotations

import sys

from strongroom.server import repeats
from strongroom.server.serve import run

if __name__ == "__main__":
    repeats.LIMIT_BYTES = 1 << 40
    sys.exit(run(sys.argv[1:]))
