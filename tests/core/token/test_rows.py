"""Where tokens lie: those made together side by side, in stores of today; under their hash alone in those of before."""

from __future__ import annotations

import msgspec
import pytest

from strongroom.barrier.keyring import Installation
from strongroom.core.request import Operation
from strongroom.core.sealing import bootstrap
from strongroom.core.token.rows import accessor_row, token_digest
from strongroom.testing import Strongroom


def test_tokens_and_accessors_lie_in_the_order_of_their_making() -> None:
    room = Strongroom()
    made = []
    for _ in range(20):
        auth = room.write("auth/token/create", {"ttl": "1h"}).auth
        assert auth is not None
        transaction = room.core.transaction(None)
        made.append((token_digest(transaction, auth.client_token.reveal())[:4], accessor_row(transaction, auth.accessor)[1:5]))
        room.clock.advance(1)
    assert made == sorted(made)
    assert all(token == accessor for token, accessor in made)


def test_an_id_that_a_caller_chose_is_stored_whatever_it_looks_like() -> None:
    room = Strongroom()
    transaction = room.core.transaction(None)
    digests = [token_digest(transaction, text) for text in ("x", "srs_", "srs_€uro", "a-rather-long-id", "srs_0000x", "srs_0000y")]
    assert {len(digest) for digest in digests} == {32}
    assert len(set(digests)) == len(digests)
    assert {digest[:4] for digest in digests} == {b"    "}, "none of what somebody thought of is stored in the clear"


def test_a_store_from_before_keeps_its_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    def before(format_: int, id_: bytes, cluster_id: str, created: int, **_later: bool) -> Installation:
        return Installation(format_, id_, cluster_id, created)

    monkeypatch.setattr(bootstrap, "Installation", before)
    room = Strongroom()
    keys, transaction = room.core.barrier.keys, room.core.transaction(None)
    assert not keys.installation.by_time
    assert token_digest(transaction, room.token) == keys.tokens.digest(room.token.encode())
    token = room.create_token("default")
    assert room.read("auth/token/lookup-self", token=token).data is not None
    accessors = room.ask(Operation.LIST, "auth/token/accessors/").data
    assert isinstance(accessors, dict)
    assert len(accessors["keys"]) == 2


def test_the_header_of_a_store_from_before_reads_and_is_encoded_as_it_was() -> None:
    """Its encoding is authenticated, so not a byte may change."""
    before = msgspec.msgpack.encode({"format": 1, "id": bytes(16), "cluster_id": "c", "created": 1})
    read = msgspec.msgpack.decode(before, type=Installation)
    assert not read.by_time
    assert msgspec.msgpack.encode(read) == before
