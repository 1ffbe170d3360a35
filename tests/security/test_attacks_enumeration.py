"""What a caller without rights can find out: nothing but that he has none."""

from __future__ import annotations

import pytest

from strongroom.core.request import Operation
from strongroom.errors import NotFound, PermissionDenied
from strongroom.testing import Strongroom

PATHS = ("sys/mounts", "secret/data/x", "nomount/x", "nomount", "auth/userpass/users/ann", "auth/nomethod/users/ann", "secret", "hidden")


@pytest.fixture(scope="module")
def room() -> Strongroom:
    made = Strongroom()
    made.write("sys/auth/userpass", {"type": "userpass"})
    made.write("sys/mounts/hidden", {"type": "kv"})
    return made


@pytest.mark.parametrize("path", PATHS)
def test_help_says_nothing_of_mounts_that_a_token_cannot_reach(room: Strongroom, path: str) -> None:
    for token in ("", room.create_token("none", no_default_policy=True), "srs_unknown"):
        with pytest.raises(PermissionDenied):
            room.ask(Operation.HELP, path, token=token)


def test_help_is_there_for_who_can_reach_the_mount(room: Strongroom) -> None:
    room.write("sys/policies/acl/reader", {"policy": 'path "secret/data/x" { capabilities = ["read"] }'})
    token = room.create_token("reader")
    for path in ("secret/data/x", "secret", "secret/metadata/y", "auth/token/lookup-self", "cubbyhole/x"):
        assert room.ask(Operation.HELP, path, token=token).bare is not None
    with pytest.raises(PermissionDenied):
        room.ask(Operation.HELP, "hidden/x", token=token)
    with pytest.raises(NotFound):
        room.ask(Operation.HELP, "nomount/x")
