"""A server that parses whatever it is sent, without the checks of api/wire.py: the negative control of T15.2."""

from __future__ import annotations

import json
import sys

from strongroom.api import vault
from strongroom.server.serve import run
from tests.support.patching import put

if __name__ == "__main__":
    put(vault, strict_json=lambda body, *_: json.loads(body))
    sys.exit(run(sys.argv[1:]))
