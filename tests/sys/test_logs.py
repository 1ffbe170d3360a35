"""The log over the API: who may, how much is written, and for how long it is followed."""

from __future__ import annotations

from typing import Any

import pytest

from strongroom.core.content import ENDLESS, Content
from strongroom.testing import Strongroom
from tests.engines.api_kit import Api
from tests.sys.kit import allowed, house, refused


@pytest.fixture
def api() -> Api:
    return house()


@pytest.fixture
def room(api: Api) -> Strongroom:
    return api.room


def followed(room: Strongroom, **options: Any) -> Content:
    """What sys/monitor answers."""
    bare = room.read("sys/monitor", **options).bare
    assert bare is not None
    assert bare.size == ENDLESS
    assert bare.file is not None
    return bare.file


def test_the_level_is_read_set_and_reset(api: Api) -> None:
    assert api.get("sys/loggers").data == {"core": "info"}
    assert api.post("sys/loggers", {"level": "WARN"}).status == 204
    assert api.get("sys/loggers/core").data == {"core": "warn"}
    assert api.post("sys/loggers/core", {"level": "trace"}).status == 204
    assert api.get("sys/loggers").data == {"core": "trace"}
    assert api.send("DELETE", "sys/loggers/core").status == 204
    assert api.get("sys/loggers").data == {"core": "info"}


def test_what_is_no_level_or_no_logger_changes_nothing_and_is_not_repeated(api: Api) -> None:
    for path in ("sys/loggers", "sys/loggers/core"):
        for body in ({}, {"level": ""}, {"level": "hunter2"}, {"level": ["info"]}):
            reply = api.post(path, body)
            assert reply.status == 400
            assert b"hunter2" not in reply.text
    assert "there is one, core" in api.post("sys/loggers/other", {"level": "debug"}).errors[0]
    assert api.send("DELETE", "sys/loggers/other").status == 400
    assert api.get("sys/loggers").data == {"core": "info"}


def test_both_need_a_rule_of_their_own(api: Api) -> None:
    few = api.token("default")
    assert all(refused(api.get(path, token=few)) for path in ("sys/monitor", "sys/loggers", "sys/loggers/core"))
    assert refused(api.post("sys/loggers", {"level": "debug"}, token=few))
    assert refused(api.send("DELETE", "sys/loggers", token=few))
    reader = allowed(api, "sys/monitor: read", "sys/loggers: read")
    assert not followed(api.room, token=reader).closed
    assert api.get("sys/loggers", token=reader).status == 200
    assert refused(api.post("sys/loggers", {"level": "debug"}, token=reader))


def test_the_monitor_shows_what_is_logged_from_now_on(room: Strongroom) -> None:
    room.process.log.info("before")
    lines = followed(room)
    loud = followed(room, data={"log_level": "error", "log_format": "JSON"})
    room.process.log.info("after")
    assert b"after" in lines.read(1)
    assert (lines.read(1), loud.read(1)) == (b"", b"")
    room.process.log.error("failed")
    assert loud.read(1).startswith(b"{")


@pytest.mark.parametrize("wrong", [{"log_level": "loud"}, {"log_format": "prose"}])
def test_the_monitor_says_what_it_takes(api: Api, wrong: dict[str, str]) -> None:
    ((name, value),) = wrong.items()
    reply = api.get(f"sys/monitor?{name}={value}")
    assert reply.status == 400
    assert "there are" in reply.errors[0]


def test_a_log_is_followed_no_longer_than_its_token_lives_nor_than_an_hour(room: Strongroom) -> None:
    for_ever, briefly = followed(room), followed(room, token=room.create_token("root", ttl="60s"))
    room.advance(59)
    assert not briefly.closed
    room.advance(2)
    assert briefly.closed
    assert not for_ever.closed
    room.advance(3_600)
    assert for_ever.closed


def test_sealing_ends_it(room: Strongroom) -> None:
    lines = followed(room)
    assert not lines.closed
    room.write("sys/seal")
    assert lines.closed
