"""An agent's key file and its side of the protocol, against a whole server in memory; also where answers get lost."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from strongroom.client import agent_auth, agent_file
from strongroom.client.client import Answer, Client
from strongroom.client.errors import BadAnswer, BadSettings, Refused, Unreachable
from strongroom.core.envelope import envelope
from strongroom.core.request import Operation
from strongroom.testing import Strongroom
from tests.auth.agents import enrol_token, fresh

Loses = Callable[[str], str]
"""Says of a path whether the request gets lost ("request"), its answer does ("answer"), or neither."""


class Line:
    """What a Client is to the code under test: requests reach the room, unless the line breaks."""

    def __init__(self, room: Strongroom, loses: Loses = lambda _path: "") -> None:
        self.room = room
        self.loses = loses

    def request(self, method: str, path: str, *, body: dict[str, Any], token: str) -> Answer:
        lost = self.loses(path)
        if lost == "request":
            raise Unreachable("broken")
        work = self.room.request(Operation.UPDATE, path, body, token=token)
        self.room.run_due()
        if lost == "answer":
            raise Unreachable("broken")
        if work.error is not None:
            raise Refused(method, path, work.error.status, list(work.error.messages), False)
        assert work.response is not None
        content = envelope(work.response, work.request.id)
        return Answer(200, {}, json.loads(content), content)

    @property
    def client(self) -> Client:
        return cast(Client, self)


@pytest.fixture
def room() -> Strongroom:
    return fresh()


def enrolled(room: Strongroom, path: Path, kind: str = "ed25519") -> None:
    agent_auth.enrol(Line(room).client, str(path), "agent", "Web-1", enrol_token(room), kind)


def logs_in(room: Strongroom, path: Path) -> bool:
    try:
        return bool(agent_auth.login(Line(room).client, str(path)).auth.get("client_token"))
    except Refused:
        return False


@pytest.mark.parametrize("kind", ["ed25519", "ml-dsa-65"])
def test_an_agent_enrols_logs_in_and_changes_its_key(room: Strongroom, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "key"
    enrolled(room, path, kind)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert logs_in(room, path)
    before = path.read_text()
    agent_auth.rotate(Line(room).client, str(path), "", revoke_tokens=False)
    after = json.loads(path.read_text())
    assert after["private_key"] != json.loads(before)["private_key"] and after["key_type"] == kind and "next" not in after
    assert logs_in(room, path)
    path.write_text(before)
    assert not logs_in(room, path), "the old key is out"
    assert [file.name for file in tmp_path.iterdir()] == ["key"]


@pytest.mark.parametrize("lost", ["request", "answer"])
def test_a_rotation_whose_answer_is_lost_leaves_a_key_that_works(room: Strongroom, tmp_path: Path, lost: str) -> None:
    path = tmp_path / "key"
    enrolled(room, path)
    line = Line(room, lambda asked: lost if asked.endswith("/rotate") else "")
    with pytest.raises(Unreachable):
        agent_auth.rotate(line.client, str(path), "", revoke_tokens=False)
    assert "next" in json.loads(path.read_text())
    assert logs_in(room, path)
    agent_auth.rotate(Line(room).client, str(path), "ml-dsa-65", revoke_tokens=True)
    assert logs_in(room, path)
    assert agent_file.load(str(path)).key.kind == "ml-dsa-65"


def test_without_the_second_key_in_the_file_a_lost_answer_would_lock_it_out(
    room: Strongroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control."""
    path = tmp_path / "key"
    enrolled(room, path)
    line = Line(room, lambda asked: "answer" if asked.endswith("/rotate") else "")
    with monkeypatch.context() as patch, pytest.raises(Unreachable):
        patch.setattr(agent_file, "save", lambda *_, **__: None)
        agent_auth.rotate(line.client, str(path), "", revoke_tokens=False)
    assert not logs_in(room, path)


def test_a_refused_enrolment_leaves_no_key_file_and_a_lost_one_does(room: Strongroom, tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(Refused):
        agent_auth.enrol(Line(room).client, str(path), "agent", "web-1", "sre_invented", "ed25519")
    assert not path.exists()
    line = Line(room, lambda asked: "answer" if asked.endswith("/enrol") else "")
    with pytest.raises(Unreachable):
        agent_auth.enrol(line.client, str(path), "agent", "web-1", enrol_token(room), "ed25519")
    assert logs_in(room, path)


def test_a_rotation_that_is_refused_leaves_the_key_as_it_was(tmp_path: Path) -> None:
    room, path = fresh(key_types="ed25519"), tmp_path / "key"
    enrolled(room, path)
    before = path.read_text()
    with pytest.raises(Refused, match="key_type"):
        agent_auth.rotate(Line(room).client, str(path), "ml-dsa-65", revoke_tokens=False)
    assert path.read_text() == before


def test_a_key_file_is_not_overwritten(room: Strongroom, tmp_path: Path) -> None:
    path = tmp_path / "key"
    enrolled(room, path)
    before = path.read_text()
    with pytest.raises(BadSettings, match="there already"):
        agent_auth.enrol(Line(room).client, str(path), "agent", "web-2", enrol_token(room), "ed25519")
    assert path.read_text() == before


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_file_that_others_may_read_is_refused(room: Strongroom, tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    enrolled(room, path)
    path.chmod(mode)
    with pytest.raises(BadSettings, match="chmod 600"):
        agent_file.load(str(path))


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"mount":"a","mount_accessor":"b","name":"c","key_type":"rsa","private_key":""}']
)
def test_what_is_no_key_file_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "key"
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(BadSettings, match="no key file"):
        agent_file.load(str(path))
    with pytest.raises(BadSettings, match="cannot be read"):
        agent_file.load(str(tmp_path / "nothing"))


def test_it_signs_for_the_mount_it_was_enrolled_at_and_no_other(room: Strongroom, tmp_path: Path) -> None:
    path = tmp_path / "key"
    enrolled(room, path)
    room.write("sys/auth/other", {"type": "agent"})
    with pytest.raises(BadAnswer, match="not the mount"):
        agent_auth.login(Line(room).client, str(path), "other")
    room.write("sys/remount", {"from": "auth/agent", "to": "auth/moved"})
    assert agent_auth.login(Line(room).client, str(path), "moved").auth["client_token"]


def test_keys_are_not_in_texts(room: Strongroom, tmp_path: Path) -> None:
    path = tmp_path / "key"
    enrolled(room, path)
    file = agent_file.load(str(path))
    assert file.key.seed.hex() not in repr(file) and str(file.key.seed) not in repr(file)
