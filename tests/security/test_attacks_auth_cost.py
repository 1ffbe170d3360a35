"""What a stranger's login costs the server before it is refused: about what its bytes cost, whatever is in them.

Measured in processor time, the best of three, against what it took: the plain parser's time for the same bytes is bound and control in one.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import pytest

from strongroom.auth.aws import proof
from strongroom.core.request import Operation
from strongroom.crypto import jws
from strongroom.crypto.errors import InvalidToken
from strongroom.errors import StrongroomError
from strongroom.outbound.wire import Answer
from strongroom.testing import Strongroom
from tests.support.tokens import b64

SLOW = "1e300"
"""Five characters that a quick JSON parser takes ten microseconds for."""


def many(count: int) -> str:
    return f'{{"a":[{",".join([SLOW] * count)}]}}'


def seconds(work: Callable[[], object]) -> float:
    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(3))


def refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        jws.parse(text).verify(())


def aws_room() -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/aws", {"type": "aws"})
    return room


def aws_login(headers: object) -> Mapping[str, Any]:
    def text(plain: str) -> str:
        return base64.b64encode(plain.encode()).decode()

    body = text("Action=GetCallerIdentity&Version=2011-06-15")
    return {
        "iam_http_request_method": "POST",
        "iam_request_url": text("https://sts.amazonaws.com/"),
        "iam_request_body": body,
        "iam_request_headers": headers,
    }


def plainly(text: str) -> float:
    """What the parser's own reading of floats takes: a second for each 120,000 of them, while nobody else is served."""
    return seconds(lambda: msgspec.json.decode(text))


@pytest.mark.parametrize("encoded", [False, True], ids=["text", "base64"])
def test_headers_of_an_aws_login_full_of_numbers(encoded: bool) -> None:
    text, short = many(50_000), many(4_000)
    room = aws_room()

    def login(headers: str) -> None:
        sent = base64.b64encode(headers.encode()).decode() if encoded else headers
        work = room.request(Operation.UPDATE, "auth/aws/login", aws_login(sent), token="")
        assert isinstance(work.error, StrongroomError) and work.error.status == 400

    assert len(short) < proof.MAX_HEADERS < len(text)
    assert 5 * seconds(lambda: login(text)) < plainly(text)
    assert 5 * seconds(lambda: login(short)) < plainly(short)


def test_a_token_full_of_numbers() -> None:
    numbers, header = many(7_000), b64(b'{"alg":"RS256"}')
    in_header, in_payload = f"{b64(numbers.encode())}.{header}.{header}", f"{header}.{b64(numbers.encode())}.{header}"
    assert 5 * seconds(lambda: refused(in_header)) < plainly(numbers)
    assert 5 * seconds(lambda: jws.parse(in_payload).unverified_claims()) < plainly(numbers)


def test_an_answer_of_another_host_full_of_numbers() -> None:
    text = many(50_000)
    assert 5 * seconds(lambda: Answer("a.example", 200, {}, text.encode()).json(dict[str, Any])) < plainly(text)


HUGE = ["1e99999999999999999999", "1e-99999999999999999999", "0e99999999999999999999", "1e309", "-1e309", "1e999999999"]


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("part", [0, 1])
def test_a_number_that_no_double_holds_is_refused_and_no_fault_of_the_server(number: str, part: int) -> None:
    """Some of them were a 500: strangers could fill the server's log with alarms."""
    parts = [b64(b'{"alg":"RS256"}'), b64(b"{}"), b64(b"x")]
    parts[part] = b64(f'{{"alg":{number}}}'.encode())
    with pytest.raises(InvalidToken, match="strict JSON"):
        jws.parse(".".join(parts)).unverified_claims()
