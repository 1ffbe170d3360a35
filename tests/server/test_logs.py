"""No secret is in any log, whatever is handed to it (T14.1, T14.4), and the search that says so would find one."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.request import Operation, Peer, Request
from strongroom.core.secret import Secret
from strongroom.errors import ConfigError, InvalidRequest
from strongroom.server.logs import Log
from strongroom.server.logtail import LogTail
from tests.server.loop_kit import House, on_loop, room

CANARY = "canary-0123456789abcdef"

FORMS: tuple[Callable[[bytes], bytes], ...] = (
    lambda raw: raw,
    lambda raw: raw.hex().encode(),
    lambda raw: base64.b64encode(raw).rstrip(b"=")[:-1],
    lambda raw: base64.b64encode(b"x" + raw)[2:-3],
    lambda raw: base64.b64encode(b"xx" + raw)[3:-3],
    lambda raw: raw[::-1],
)


def leaks(text: str) -> bool:
    """Whether the canary is there, in any of the forms in which it could get there."""
    return any(form(CANARY.encode()) in text.encode() for form in FORMS)


class Thing(msgspec.Struct):
    password: str


class Unshowable:
    """Its text is a secret."""

    def __repr__(self) -> str:
        return CANARY

    __str__ = __repr__


class Sly(str):
    """A text whose repr is not its text."""

    __slots__ = ()

    def __str__(self) -> str:
        return CANARY


REQUEST = Request("id", Operation.UPDATE, "a", {"k": CANARY}, CANARY.encode(), Secret(CANARY), Peer())

VALUES: list[object] = [
    Secret(CANARY),
    f"{Secret(CANARY)}",
    CANARY.encode(),
    bytearray(CANARY.encode()),
    memoryview(CANARY.encode()),
    Thing(CANARY),
    REQUEST,
    {"k": CANARY},
    {CANARY},
    ValueError(CANARY),
    InvalidRequest(CANARY),
    Unshowable(),
    [Secret(CANARY), Unshowable(), {"x": CANARY}, ValueError(CANARY)],
    (CANARY.encode(),),
    [[CANARY]],
    lambda: CANARY,
    Sly("x"),
]
NAMES = """
token client_token Secret password new_passwords key unseal_keys share shares
x_vault_token authorization cookies otp body data nonce
"""


@pytest.fixture(params=["standard", "json"])
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def logged(form: str, **values: Any) -> str:
    stream = io.StringIO()
    log = Log("trace", form, stream)
    for say in (log.info, log.warning, log.error):
        say("something", **values)
    Log("trace", form, stream, **values).info("bound")
    return stream.getvalue()


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_that_could_hold_a_secret_is_shown_by_type_only(form: str, value: object) -> None:
    text = logged(form, value=value, values=[value])
    assert text.count("\n") >= 4
    assert not leaks(text)


@pytest.mark.parametrize("name", NAMES.split())
def test_a_name_that_sounds_secret_is_dropped_whatever_it_holds(form: str, name: str) -> None:
    assert not leaks(logged(form, **{name: CANARY}))
    assert not leaks(logged(form, **{name.replace("_", "-"): [CANARY]}))


def test_the_search_finds_what_is_logged(form: str) -> None:
    """The negative control: a text under a harmless name is shown, and found."""
    assert leaks(logged(form, reason=CANARY))
    for hidden in FORMS:
        assert leaks("x" + hidden(CANARY.encode()).decode() + "x")


def _fails(depth: int, secret: str) -> None:
    local = secret + "!"
    if depth:
        _fails(depth - 1, secret)
    raise ValueError(local) from KeyError(secret)


def test_an_exception_is_its_type_and_the_places_it_passed(form: str) -> None:
    stream = io.StringIO()
    log = Log("info", form, stream)
    try:
        _fails(3, CANARY)
    except ValueError as error:
        error.add_note(CANARY)
        log.report(error)
        log.warning("failed", exc_info=True, stack_info=True)
        log.error("failed", exc_info=error, exception=CANARY)
        log.error("failed", error=error)
    text = stream.getvalue()
    assert "ValueError" in text
    assert "_fails" in text
    assert not leaks(text)


def test_what_a_handler_raises_is_logged_without_its_text(form: str) -> None:
    stream = io.StringIO()
    log = Log("info", form, stream)

    async def scene(house: House) -> None:
        house.committer._report = log.report
        work = await house.ask(Operation.READ, "probe/raise/value")
        assert work.error is not None
        assert work.request.id in stream.getvalue()

    on_loop("asyncio", room(), scene)
    assert "ValueError" in stream.getvalue()
    assert "raising" in stream.getvalue()
    assert "secret_in_an_exception" not in stream.getvalue()


@given(text=st.text(max_size=30))
def test_an_event_is_one_line(text: str) -> None:
    for form in ("standard", "json"):
        stream = io.StringIO()
        Log("info", form, stream).info(text, reason=text)
        lines = stream.getvalue().splitlines()
        assert len(lines) == 1
        assert lines[0].isprintable()


def test_long_texts_and_lists_are_cut(form: str) -> None:
    text = logged(form, reason="x" * 100_000, many=list(range(10_000)))
    assert len(text) < 4_000


def test_levels_are_kept_to() -> None:
    stream = io.StringIO()
    log = Log("warn", "json", stream)
    log.info("quiet")
    log.warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()
    for level, form in (("shout", "json"), ("info", "xml")):
        with pytest.raises(ConfigError):
            Log(level, form, stream)


def test_a_log_that_is_gone_stops_nothing(form: str) -> None:
    stream = io.StringIO()
    log = Log("info", form, stream)
    stream.close()
    log.info("nobody hears this")
    log.report(ValueError(CANARY))


def test_what_is_followed_is_what_the_log_would_say_below_its_level_too(form: str) -> None:
    stream = io.StringIO()
    log = Log("error", form, stream)
    log.info("before")
    lines = log.follow("info", form, lambda: False)
    log.info("quiet", password=CANARY, thing=Unshowable(), reason="a\nb")
    log.error("loud", raw=CANARY.encode())
    text = lines.read(1).decode()
    assert "before" not in text
    assert text.index("quiet") < text.index("loud")
    assert len(text.splitlines()) == 2
    assert not leaks(text)
    assert stream.getvalue() == text.splitlines(keepends=True)[1], "the same line"
    assert lines.read(1) == b""


def test_one_level_holds_for_all_processes_until_the_configuration_is_read_again() -> None:
    stream = io.StringIO()
    log = Log("info", "json", stream, tail=LogTail(3))
    one, other = log.bound(1, slot=0), log.bound(2, slot=1)
    lines = one.follow("warn", "json", lambda: False)
    one.say_from("error")
    other.warning("not written")
    assert (stream.getvalue(), log.level, other.level) == ("", "error", "error")
    assert b'"slot": 1' in lines.read(1), "but followed, wherever it was said"
    other.reset_level()
    one.info("written")
    assert "written" in stream.getvalue()
    assert lines.read(1) == b"", "below the level that was asked for"
    one.say_from("debug")
    other.set_level("warn")
    assert log.level == "warn"


def test_unknown_levels_and_forms_change_nothing() -> None:
    log = Log("info", stream=io.StringIO())
    for wrong in ("", "loud"):
        with pytest.raises(InvalidRequest, match="trace, debug, info, warn, error"):
            log.say_from(wrong)
        with pytest.raises(InvalidRequest, match="unknown log"):
            log.follow("info", wrong, lambda: False)
    assert log.level == "info"


def test_a_follower_that_is_too_slow_reads_that_lines_are_missing() -> None:
    log = Log("info", stream=io.StringIO())
    lines = log.follow("info", "standard", lambda: False)
    for number in range(2_000):
        log.info("much is said", number=number)
    assert "are missing here" in lines.read(1).decode()
    log.info("the next")
    assert "the next" in lines.read(1).decode()
