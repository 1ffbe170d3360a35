"""The state of a browser login is made by the server alone, though clients choose a part of what is derived under the same key."""

from __future__ import annotations

import base64
from typing import Final

import pytest

from strongroom.auth.jwt import state as module
from strongroom.auth.jwt.state import MAX_NONCE, States
from strongroom.crypto.mac import Mac
from strongroom.errors import InvalidRequest
from strongroom.testing.room import START

LONG: Final = "𐍈" * 32
"""128 bytes, the least length whose prefix is proper UTF-8."""
FLOW_ID: Final = b"\x95\xc4\x14" + b"i" * 13
"""Random, and like this for one in 2^24 logins that a stranger begins: then it reads as the head of a Flow."""
NONCE: Final = b"\xd9\x80" + b"r" * 0x80 + b"\xd9\x80" + LONG.encode() + b"\xc4\x80" + LONG.encode() + b"\xcf\x80" + b"1234567"
"""The rest of a Flow (a role, a redirect URI, a client, an end), as a text that a client can send for its nonce."""


def forged(states: States) -> str:
    """A state that nobody began: with what the server works out for that nonce in the place of its MAC."""
    mac = states._derived(FLOW_ID, "client", NONCE.decode())
    return base64.urlsafe_b64encode(FLOW_ID + b"client\0" + NONCE + mac).decode().rstrip("=")


def test_what_is_derived_for_a_clients_nonce_is_the_mac_of_no_state() -> None:
    states = States(Mac(b"k" * 32), b"m" * 16)
    with pytest.raises(InvalidRequest):
        states.open(forged(states), START)


def test_the_two_are_told_apart_by_one_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: without it the server takes such a state for its own. Only half of that MAC is shown; that held by luck."""
    monkeypatch.setattr(module, "_STATE", b"")
    monkeypatch.setattr(module, "_DERIVED", b"")
    assert len(NONCE.decode()) <= MAX_NONCE
    states = States(Mac(b"k" * 32), b"m" * 16)
    assert states.open(forged(states), START).role == "r" * 0x80
