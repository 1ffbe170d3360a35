"""Answers are read whatever way they are cut, and ambiguous ones are refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.client import wire
from strongroom.client.errors import BadAnswer, BadSettings, Unreachable

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\n\r\n" + b'{"a":1}'
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;note=x\r\n" + b'{"a\r\n4\r\n":1}\r\n0\r\nTrailer: x\r\n\r\n'
CLOSED = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b'{"a":1}'
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH


def cut(content: bytes, sizes: list[int]) -> Callable[[int], bytes]:
    """A receive function that returns pieces of these sizes, then the rest."""
    rest = bytearray(content)

    def receive(most: int) -> bytes:
        size = min(most, sizes.pop(0) if sizes else len(rest))
        piece = bytes(rest[:size])
        del rest[:size]
        return piece

    return receive


@given(st.sampled_from([LENGTH, CHUNKED, CLOSED, INTERIM]), st.lists(st.integers(1, 20)))
def test_an_answer_is_the_same_however_it_is_cut(content: bytes, sizes: list[int]) -> None:
    raw = wire.Reader(cut(content, sizes)).answer()
    assert (raw.status, raw.body) == (200, b'{"a":1}')
    assert raw.reusable == (content is not CLOSED)


def test_no_body_is_waited_for_where_there_is_none() -> None:
    assert wire.Reader(cut(b"HTTP/1.1 204 No Content\r\n\r\n", [])).answer().body == b""
    assert wire.Reader(cut(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", [])).answer(bodiless=True).body == b""


@given(st.sampled_from([LENGTH, CHUNKED]), st.data())
def test_an_answer_cut_short_is_not_taken_for_a_whole_one(content: bytes, data: st.DataObject) -> None:
    short = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(Unreachable):
        wire.Reader(cut(short, [])).answer()


@pytest.mark.parametrize(
    "content",
    [
        b"SSH-2.0-x\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nName : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    ],
)
def test_a_malformed_answer_is_refused(content: bytes) -> None:
    with pytest.raises(BadAnswer):
        wire.Reader(cut(content, [])).answer()


@given(st.text())
def test_a_path_cannot_leave_the_request_line(path: str) -> None:
    quoted = wire.quote(path.encode("utf-8", "replace").decode())
    assert quoted.isascii()
    assert not set(quoted) & set(" \r\n?#\\\"'<>") - {"'"}


@given(st.sampled_from(["a\r\nX: y", "a\nb", "é", "\0"]))
def test_a_header_value_with_a_line_break_is_refused_and_not_shown(value: str) -> None:
    with pytest.raises(BadSettings) as raised:
        wire.encode("GET", "/", [("X-Vault-Token", value)], None)
    assert value not in str(raised.value)


def test_a_request_has_its_length() -> None:
    assert wire.encode("PUT", "/v1/a", [("Host", "h")], b"{}") == b"PUT /v1/a HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"
