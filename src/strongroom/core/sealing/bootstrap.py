"""What a fresh installation gets in its first commits: mounts that always exist, and a root token.

Rules of this file: everything here runs once, under the lock, through the same transactions as any request, and all of `install` is one
commit, so that a crash leaves nothing or a whole installation.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from strongroom.barrier.keyring import FORMAT, Installation
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.mirror import patiently
from strongroom.core.mounts import new_mount, system_mounts
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Auth, Grant
from strongroom.core.sealing.rotation import start_checks
from strongroom.core.secret import Secret
from strongroom.core.transaction import Staged
from strongroom.crypto.ids import uuid4_text


def new_installation(now: int) -> Installation:
    """The public header of a fresh store."""
    return Installation(FORMAT, secrets.token_bytes(16), uuid4_text(), now, by_time=True)


def install(core: Core, installation: Installation, root: bytes, boot: Mapping[bytes, bytes], token_id: str = "") -> Secret:
    """Commit a whole installation: keyring, boot rows, first mounts and a root token, which is returned. The barrier is then open."""
    made: list[Auth] = []

    def rows() -> Staged:
        request = Request(uuid4_text(), Operation.UPDATE, "internal", {}, b"", Secret(""), Peer())
        transaction = core.transaction(Staged())
        call = Call(request, request.operation, transaction)
        _first_rows(core, call)
        made.append(root_token(core, call, token_id))
        return transaction.outcome()

    patiently(lambda: core.barrier.initialise(installation, root, core.clock.now(), dict(boot), rows))
    core.committed.forget(None, None)
    return made[-1].client_token


def _first_rows(core: Core, call: Call) -> None:
    """Stage the mounts that always exist, and the timer that looks after the keyring."""
    for mount in system_mounts():
        core.mounts.store(call.transaction, mount)
    start_checks(call.transaction)


def root_token(core: Core, call: Call, token_id: str = "") -> Auth:
    """Stage a new root token without an end."""
    grant = Grant(policies=("root",), no_default_policy=True, display_name="root", renewable=False)
    return core.tokens.issue(call.transaction, grant, "auth/token/root", None, token_id=token_id)


def secret_mount(core: Core, call: Call) -> None:
    """Stage `secret/`, a KV version 2 mount, as development servers have it."""
    mount = new_mount("secret/", "kv", "secrets", description="key/value secret storage", options={"version": "2"})
    core.mounts.add(call.transaction, mount)
