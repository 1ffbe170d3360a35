"""The server under what its systemd unit takes away, as far as a process can do that to itself.

No capability, no privileges to gain, and with `code` as its first argument no memory that can be written and executed. The
user stays, so that tests can read its files.
"""

from __future__ import annotations

import ctypes
import sys

from strongroom.server.serve import run

SET_NO_NEW_PRIVILEGES, DROP_FROM_BOUND, SET_NO_WRITABLE_CODE = 38, 24, 65
"""prctl(2): PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP, PR_SET_MDWE."""
CAPABILITIES = 41


def confine(*, code: bool) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if code and library.prctl(SET_NO_WRITABLE_CODE, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "this kernel cannot forbid writable code")
    for capability in range(CAPABILITIES):
        library.prctl(DROP_FROM_BOUND, capability, 0, 0, 0)
    if library.prctl(SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if library.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


if __name__ == "__main__":
    confine(code=sys.argv[1] == "code")
    sys.exit(run(sys.argv[2:]))
