"""A name is looked up once and exactly what was judged is dialled (T20.1), within one deadline."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import pytest

from strongroom.outbound import dialer as module
from strongroom.outbound.addresses import Address, Reach, allow_list
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.outbound.errors import Refused, Unreachable
from tests.outbound.test_addresses import LOCAL, NOWHERE, PUBLIC, SPECIAL


class Net:
    """Name servers that may answer differently each time, and a network that counts who is dialled."""

    def __init__(self, *answers: Sequence[str] | OSError, down: Sequence[str] = ()) -> None:
        self.answers = list(answers)
        self.down = down
        self.looked_up: list[str] = []
        self.dialled: list[str] = []
        self.ends: list[socket.socket] = []

    def resolve(self, host: str, _timeout: float) -> Sequence[str]:
        self.looked_up.append(host)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, OSError):
            raise answer
        return answer

    def connect(self, address: Address, _port: int, _timeout: float) -> socket.socket:
        self.dialled.append(str(address))
        if str(address) in self.down:
            raise ConnectionRefusedError(111, "Connection refused")
        ours, theirs = socket.socketpair()
        self.ends += (ours, theirs)
        return ours

    def close(self) -> None:
        for end in self.ends:
            end.close()

    def outbound(self, *allowed: str) -> Outbound:
        return Outbound(Dialer(allow_list(allowed), self.resolve, self.connect))


@pytest.mark.parametrize("text", [*LOCAL, *SPECIAL, *NOWHERE])
def test_no_name_and_no_literal_leads_to_an_address_that_is_not_public(text: str) -> None:
    net = Net([text])
    for host in ("rebinding.example", text.partition("%")[0]):
        with pytest.raises(Refused) as refused:
            net.outbound().dial(host, 443)
        assert text not in refused.value.reason, "whoever may choose a name does not read the internal DNS"
    assert net.dialled == []


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_dialled(text: str) -> None:
    """The control of the test above."""
    net = Net([text])
    net.outbound().dial("example.com", 443)
    assert net.dialled == [text]
    net.close()


def test_a_name_that_changes_its_mind_is_looked_up_once() -> None:
    net = Net(["1.1.1.1"], ["169.254.169.254"])
    net.outbound().dial("rebinding.example", 443)
    assert (net.looked_up, net.dialled) == (["rebinding.example"], ["1.1.1.1"])
    net.close()


def test_of_several_addresses_only_those_that_may_be_dialled_are() -> None:
    net = Net(["169.254.169.254", "127.0.0.1", "1.1.1.1", "10.0.0.1", "8.8.8.8"], down=["1.1.1.1"])
    net.outbound().dial("mixed.example", 443)
    assert net.dialled == ["1.1.1.1", "8.8.8.8"]
    net.close()


def test_a_mount_of_a_tenant_reaches_no_further_than_requests_do() -> None:
    net = Net(["10.0.0.1"])
    with pytest.raises(Refused):
        net.outbound().confined().dial("inside.example", 443, reach=Reach.CONFIGURED)
    net.outbound().dial("inside.example", 443, reach=Reach.CONFIGURED)
    net.outbound("10.0.0.0/24").confined().dial("inside.example", 443)
    assert net.dialled == ["10.0.0.1"] * 2
    net.close()


def test_libraries_that_dial_themselves_get_addresses_that_were_judged() -> None:
    net = Net(["10.0.0.1", "169.254.169.254"])
    assert [str(address) for address in net.outbound().addresses("db.example", reach=Reach.CONFIGURED)] == ["10.0.0.1"]


def test_a_host_that_is_down_is_tried_a_few_times_and_named() -> None:
    many = [f"1.1.1.{last}" for last in range(1, 20)]
    net = Net(many, down=many)
    with pytest.raises(Unreachable, match=r"example\.com: no connection to port 443") as unreachable:
        net.outbound().dial("example.com", 443)
    assert len(net.dialled) == module.MAX_TRIED
    assert "1.1.1" not in str(unreachable.value)


@pytest.mark.parametrize("answer", [OSError(-2, "Name or service not known"), TimeoutError("late"), []])
def test_a_name_without_address_is_unreachable(answer: OSError | list[str]) -> None:
    with pytest.raises(Unreachable, match=r"example\.com"):
        Net(answer).outbound().dial("example.com", 443)


def test_a_look_up_is_left_behind_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, left = threading.Event(), threading.Event()

    def slow(*_arguments: object, **_options: object) -> list[tuple[object, ...]]:
        answered.wait(10)
        left.set()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with pytest.raises(Unreachable, match="in time"):
        Outbound().dial("slow.example", 443, timeout=0.05)
    assert not left.is_set()
    answered.set()
    assert left.wait(10)


def test_the_system_is_asked_for_names() -> None:
    assert "127.0.0.1" in [str(address) for address in Outbound().addresses("localhost", reach=Reach.CONFIGURED)]
    with pytest.raises(Unreachable):
        Outbound().addresses("does-not-exist.invalid")
