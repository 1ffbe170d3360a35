"""Sessions against a real server: one connection while exchanges follow each other, a new one in doubt, and nothing is sent twice."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from strongroom.errors import StrongroomError
from strongroom.outbound import session
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import Unreachable
from strongroom.outbound.session import Session
from strongroom.outbound.wire import Answer

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


class Server:
    """Answers each request with the next of its answers; "" hangs up instead. Counts connections and requests."""

    def __init__(self) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}/in"
        self.answers: list[bytes] = []
        self.connections = 0
        self.requests: list[bytes] = []
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection = self.listening.accept()[0]
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as reader:
            while head := reader.readline():
                size = 0
                while (line := reader.readline()) not in (b"\r\n", b""):
                    head += line
                    if line.lower().startswith(b"content-length:"):
                        size = int(line.split(b":")[1])
                self.requests.append(head + reader.read(size))
                answer = self.answers.pop(0) if self.answers else OK
                if not answer:
                    return
                connection.sendall(answer)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.listening.shutdown(socket.SHUT_RDWR)
    made.listening.close()
    made.thread.join(5)


@pytest.fixture
def post(server: Server) -> Iterator[Callable[..., Answer]]:
    made = Session(Outbound(), server.url, reach=Reach.CONFIGURED, plaintext=True)

    def send(body: bytes = b"x", ca_pem: str = "", timeout: float = 2) -> Answer:
        return made.request("POST", {"x-a": "b"}, body, ca_pem=ca_pem, timeout=timeout, limit=1_000)

    yield send
    made.close()


def test_exchanges_that_follow_each_other_share_a_connection(server: Server, post: Callable[..., Answer]) -> None:
    for body in (b"one", b"two", b"three"):
        assert post(body).status == 204
    assert server.connections == 1
    assert all(request.endswith(body) for request, body in zip(server.requests, (b"one", b"two", b"three"), strict=True))
    assert not any(b"connection: close" in request for request in server.requests)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_a_server_that_closes_is_connected_to_again(server: Server, post: Callable[..., Answer], answer: bytes) -> None:
    server.answers = [answer, OK]
    assert [post().status, post().status] == [200, 204]
    assert server.connections == 2


def test_a_connection_that_was_idle_is_not_used_again(server: Server, post: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "KEPT", -1.0)
    post()
    post()
    assert server.connections == 2


def test_other_roots_are_another_connection(server: Server, post: Callable[..., Answer]) -> None:
    post()
    post(ca_pem="x")
    assert server.connections == 2


@pytest.mark.parametrize("answer", [b"", b"not http\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"y" * 5_000])
def test_an_exchange_that_failed_is_not_repeated_and_the_next_begins_anew(
    server: Server, post: Callable[..., Answer], answer: bytes
) -> None:
    server.answers = [OK, answer, OK]
    post(b"first")
    with pytest.raises(StrongroomError):
        post(b"second")
    assert len(server.requests) == 2, "nothing is sent twice"
    assert post(b"third").status == 204
    assert server.connections == 2


def test_a_server_that_does_not_answer_is_given_up_in_time(server: Server, post: Callable[..., Answer]) -> None:
    server.answers = [b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", OK]
    with pytest.raises(Unreachable, match="not in time"):
        post(timeout=0.2)
    assert post().status == 204
    assert server.connections == 2


def test_where_nobody_may_go_no_session_goes() -> None:
    made = Session(Outbound(), "http://169.254.169.254/latest", reach=Reach.CONFIGURED, plaintext=True)
    with pytest.raises(StrongroomError, match="does not allow"):
        made.request("GET", {}, b"", ca_pem="", timeout=1, limit=10)
