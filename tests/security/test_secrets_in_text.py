"""T14.3 and T14.4: what holds a secret shows its size only, however it is turned into text; a log has no locals; no device by request."""

from __future__ import annotations

import copy
import io
import json
import pickle
import traceback

import pytest

from strongroom.api.vault import Answer, asked
from strongroom.barrier.barrier import Barrier
from strongroom.core.request import Operation, Peer, Request
from strongroom.core.response import Grant, LeaseTerms
from strongroom.core.secret import Secret
from strongroom.core.token.entry import TokenEntry
from strongroom.core.work import Work
from strongroom.engines.kv.item import Head, Kept
from strongroom.server.framing import Head as RequestHead
from strongroom.server.http import Exchange
from strongroom.server.logs import Log
from strongroom.testing import Strongroom
from tests.support.search import Canaries, search
from tests.support.server import Server

VALUES = Canaries("v3")


def secret() -> Secret:
    return Secret(VALUES.new())


def a_request() -> Request:
    text = VALUES.new()
    return Request("id", Operation.UPDATE, "secret/data/x", {"data": {"password": text}}, text.encode(), secret(), Peer("127.0.0.1", 1))


def holders() -> list[object]:
    """One of each thing that has a secret in it."""
    text = VALUES.new().encode()
    barrier = Strongroom().core.barrier
    return [
        secret(), a_request(), Work(a_request(), lambda _work: None), Head(text, b"", 0, 1, text), Kept(text),
        Exchange(None, RequestHead(b"POST", b"/v1/x", {b"x-vault-token": text}, 9), text, Peer()), barrier.keys, Barrier(barrier.storage),
        {"a": secret()}, [secret()], asked(b"GET", b"/v1/secret/data/x?a=" + text, {b"x-vault-token": text}),
        Grant(internal={"a": text.decode()}), LeaseTerms(internal={"a": text.decode()}),
        TokenEntry(accessor="a", policies=(), path="auth/x/login", internal={"a": text.decode()}), Answer(200, text),
    ]  # fmt: skip


@pytest.mark.parametrize("held", holders(), ids=lambda held: type(held).__name__)
def test_no_way_to_print_it_shows_it(held: object) -> None:
    texts = [repr(held), str(held), f"{held}", f"{held!r}", f"{held!s:>80}", "%r %s" % (held, held), "{}".format(held), ascii(held)]  # noqa: UP031, UP032
    assert not search({"printed": "\n".join(texts).encode()}, VALUES.marker), texts


def test_a_traceback_or_a_logged_exception_shows_no_locals() -> None:
    stream = io.StringIO()
    log = Log("trace", "json", stream)
    for known in (secret(), VALUES.new()):
        try:
            held = known
            raise RuntimeError(f"while working on {held}" if isinstance(held, Secret) else "no text")
        except RuntimeError as error:
            log.report(error)
            stream.write("".join(traceback.format_exception(error)))
    try:
        raise ValueError(VALUES.new())
    except ValueError as error:
        log.report(error)
    log.info(
        "an event", token=VALUES.new(), root_key=VALUES.new(), request=a_request(), body=VALUES.new().encode(), parts={"a": VALUES.new()}
    )
    assert not search({"log": stream.getvalue().encode()}, VALUES.marker), stream.getvalue()
    assert "unexpected exception" in stream.getvalue()


def test_a_text_that_is_no_secret_is_logged() -> None:
    """The negative control: the same log prints what it is given, and the search finds it."""
    stream = io.StringIO()
    Log("info", "json", stream).info("an event", text=VALUES.new())
    assert search({"log": stream.getvalue().encode()}, VALUES.marker)


def test_a_secret_leaves_the_process_by_no_serializer() -> None:
    for take in (pickle.dumps, copy.copy, copy.deepcopy, json.dumps, hash):
        with pytest.raises(TypeError):
            take(secret())
    with pytest.raises(TypeError):
        assert secret() == secret()


def test_no_request_makes_an_audit_device_where_the_configuration_does_not_say_so(live: Server) -> None:
    with live.client() as client:
        where = live.directory / "elsewhere.log"
        for options in (
            {"file_path": str(where)},
            {"path": str(where)},
            {"file_path": str(where), "prefix": "#!/bin/sh\n", "mode": "0777"},
        ):
            assert client.write("sys/audit/other", {"type": "file", "options": options}).status == 400
        assert list(client.read("sys/audit").data) == ["main/"]
        assert not where.exists()
        assert client.ask("DELETE", "sys/audit/main").status in (400, 403)
        assert list(client.read("sys/audit").data) == ["main/"]
