"""A server of a later day: it reads and makes stores in a format that this one does not know yet."""

from __future__ import annotations

import sys

from strongroom.barrier import keyring
from strongroom.server.serve import run
from strongroom.storage import database
from strongroom.storage.postgres import schema
from tests.support.patching import put

if __name__ == "__main__":
    put(database, FORMAT=database.FORMAT + 1)
    put(keyring, FORMAT=keyring.FORMAT + 1)
    put(schema, SCHEMA=schema.SCHEMA.replace(f"(true, {schema.FORMAT},", f"(true, {schema.FORMAT + 1},"), FORMAT=schema.FORMAT + 1)
    sys.exit(run(sys.argv[1:]))
