"""sys/audit: devices are added where the configuration says so, T14.3, and every request is recorded once there is one."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from strongroom.core.core import Settings
from strongroom.errors import InvalidRequest
from strongroom.testing.room import Strongroom
from tests.engines.api_kit import Api, Reply
from tests.sys.kit import allowed, refused


class AuditApi(Api):
    """An Api with settings; what waits for an answer is done after each."""

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.room = Strongroom(settings=Settings(**settings))

    def send(self, verb: str, target: str, body: object = None, *, token: str = "", headers: dict[bytes, bytes] | None = None) -> Reply:
        reply = super().send(verb, target, body, token=token, headers=headers)
        self.room.process.answered()
        return reply


def lines(path: Path) -> list[Any]:
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]


def device(path: Path, **options: str) -> dict[str, Any]:
    return {"type": "file", "description": "for tests", "options": {"file_path": str(path), **options}}


@pytest.fixture
def api(tmp_path: Path) -> AuditApi:
    return AuditApi(unsafe_allow_api_audit_creation=True, audit_directory=str(tmp_path))


def test_a_device_is_added_shown_used_and_removed(api: AuditApi, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    assert api.get("sys/audit").data == {}
    assert api.post("sys/audit/main", device(log)).status == 204
    shown = api.get("sys/audit")
    assert shown.data == {
        "main/": {
            "type": "file",
            "description": "for tests",
            "options": {"file_path": str(log)},
            "local": False,
            "path": "main/",
        }
    }
    assert shown.body["main/"] == shown.data["main/"]
    kinds = [line["type"] for line in lines(log)]
    assert kinds[-2:] == ["request", "response"]
    assert lines(log)[-1]["request"]["path"] == "sys/audit"
    assert api.send("DELETE", "sys/audit/main").status == 204
    before = log.read_bytes()
    assert api.get("sys/audit").data == {}
    assert log.read_bytes() == before
    assert api.send("DELETE", "sys/audit/main").status == 204


def test_the_hash_is_what_stands_in_the_log(api: AuditApi, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    api.post("sys/audit/main", device(log))
    api.room.transact(lambda call: None)
    reply = api.post("sys/audit-hash/main", {"input": "a secret text"})
    assert reply.body["hash"] == reply.data["hash"]
    assert reply.data["hash"].startswith("hmac-sha256:")
    request = next(line for line in lines(log) if line["type"] == "request" and line["request"]["path"] == "sys/audit-hash/main")
    assert request["request"]["data"]["input"] == reply.data["hash"]
    assert api.post("sys/audit-hash/none", {"input": "x"}).status == 400


def test_a_device_comes_back_after_sealing_with_the_same_key(api: AuditApi, tmp_path: Path) -> None:
    api.post("sys/audit/main", device(tmp_path / "audit.log"))
    before = api.post("sys/audit-hash/main", {"input": "x"}).data
    api.core.audit.close()
    api.core.barrier.seal()
    api.room.unseal()
    assert api.post("sys/audit-hash/main", {"input": "x"}).data == before


# -- T14.3 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [{}, {"unsafe_allow_api_audit_creation": True}, {"audit_directory": "/var/log"}],
    ids=["nothing", "no directory", "not allowed"],
)
def test_without_leave_in_the_configuration_no_device_is_added(settings: dict[str, Any], tmp_path: Path) -> None:
    api = AuditApi(**settings)
    reply = api.post("sys/audit/main", device(tmp_path / "audit.log"))
    assert reply.status == 400, "as OpenBao: it is not the caller's rights that are missing"
    assert "unsafe_allow_api_audit_creation" in reply.errors[0]
    assert list(tmp_path.iterdir()) == []
    assert api.get("sys/audit").data == {}


def test_development_servers_take_devices_anywhere(tmp_path: Path) -> None:
    assert AuditApi(dev=True).post("sys/audit/main", device(tmp_path / "audit.log")).status == 204


@pytest.mark.parametrize(
    "options", [{"prefix": "#!/bin/sh"}, {"log_raw": "true"}, {"format": "jsonx"}, {"mode": "rwx"}, {"hmac_accessor": "maybe"}]
)
def test_options_that_make_a_log_dangerous_do_not_exist(api: AuditApi, tmp_path: Path, options: dict[str, str]) -> None:
    reply = api.post("sys/audit/main", device(tmp_path / "audit.log", **options))
    assert reply.status == 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["0777", "4755", "0644", "0666"])
def test_no_mode_is_wider_than_0640(api: AuditApi, tmp_path: Path, mode: str) -> None:
    log = tmp_path / "audit.log"
    assert api.post("sys/audit/main", device(log, mode=mode)).status == 204
    assert stat.S_IMODE(log.stat().st_mode) & ~0o640 == 0


@pytest.mark.parametrize("option", ["file_path", "path"])
@pytest.mark.parametrize("where", ["{up}/out.log", "{dir}/../out.log", "{dir}/link/out.log", "relative.log"])
def test_files_lie_below_the_audit_directory_by_either_option(tmp_path: Path, option: str, where: str) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    api = AuditApi(unsafe_allow_api_audit_creation=True, audit_directory=str(inside))
    path = where.format(up=tmp_path, dir=inside)
    assert api.post("sys/audit/main", {"type": "file", "options": {option: path}}).status == 400
    assert list(outside.iterdir()) == []
    assert [entry.name for entry in tmp_path.iterdir()] in (["in", "out"], ["out", "in"])


def test_a_symbolic_link_is_not_followed(api: AuditApi, tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("x")
    (tmp_path / "audit.log").symlink_to(tmp_path / "victim")
    reply = api.post("sys/audit/main", device(tmp_path / "audit.log"))
    assert reply.status == 400
    assert "takes no lines" in reply.errors[0]
    assert (tmp_path / "victim").read_text() == "x"
    assert api.get("sys/audit").data == {}


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("main", {"options": {}}, 'unknown backend type: ""'),
        ("main", {"type": "file", "options": {}}, "file_path is required"),
        ("main", {"type": "nothing", "options": {}}, "unknown backend type"),
        ("main", {"type": "../os", "options": {}}, "unknown backend type"),
    ],
)
def test_devices_that_cannot_be_are_a_400(api: AuditApi, path: str, body: Any, text: str) -> None:
    reply = api.post(f"sys/audit/{path}", body)
    assert reply.status == 400
    assert text in reply.errors[0]


def test_a_path_or_a_place_is_taken_once(api: AuditApi, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    assert api.post("sys/audit/main", device(log)).status == 204
    assert "path already in use" in api.post("sys/audit/main", device(tmp_path / "other.log")).errors[0]
    assert "already writes to" in api.post("sys/audit/more", device(log)).errors[0]
    assert set(api.get("sys/audit").data) == {"main/"}


# -- the configuration's ------------------------------------------------------------------------------------------


def test_a_device_of_the_configuration_is_not_removed_by_a_request(tmp_path: Path) -> None:
    api = AuditApi(unsafe_allow_api_audit_creation=True, audit_directory=str(tmp_path))
    log = tmp_path / "fixed.log"
    api.core.devices.load([("file", "fixed", "from the file", {"file_path": str(log)})])
    assert api.get("sys/audit").data["fixed/"]["description"] == "from the file"
    assert "configuration" in api.send("DELETE", "sys/audit/fixed").errors[0]
    assert "path already in use" in api.post("sys/audit/fixed", device(tmp_path / "other.log")).errors[0]
    assert "already writes to" in api.post("sys/audit/more", device(log)).errors[0]
    assert api.core.audit.device("fixed/") is not None


def test_a_device_of_the_configuration_that_does_not_open_is_said_at_once(api: AuditApi, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="takes no lines"):
        api.core.devices.load([("file", "fixed", "", {"file_path": str(tmp_path / "none" / "audit.log")})])


def test_a_device_that_was_added_and_does_not_open_any_more_lets_nothing_be_answered(api: AuditApi, tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    log = tmp_path / "sub" / "audit.log"
    assert api.post("sys/audit/main", device(log)).status == 204
    api.core.audit.close()
    api.core.barrier.seal()
    log.unlink()
    log.parent.rmdir()
    api.room.unseal()
    reply = api.get("sys/mounts")
    assert reply.status == 500
    assert "no audit device took the entry" in reply.errors[0]


# -- headers ------------------------------------------------------------------------------------------------------


def test_headers_are_listed_read_written_and_deleted(api: AuditApi, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    api.post("sys/audit/main", device(log))
    assert api.get("sys/config/auditing/request-headers").data == {"headers": {}}
    assert api.post("sys/config/auditing/request-headers/X-Trace", {}).status == 204
    assert api.post("sys/config/auditing/request-headers/X-Vault-Token", {"hmac": True}).status == 204
    listed = api.get("sys/config/auditing/request-headers")
    assert listed.data == {"headers": {"x-trace": {"hmac": False}, "x-vault-token": {"hmac": True}}}
    assert listed.body["headers"] == listed.data["headers"]
    assert api.get("sys/config/auditing/request-headers/X-TRACE").data == {"X-TRACE": {"hmac": False}}
    api.get("sys/mounts", headers={b"x-trace": b"t1"})
    request = next(line for line in reversed(lines(log)) if line["type"] == "request")
    assert request["request"]["headers"]["x-trace"] == ["t1"]
    assert api.room.token not in log.read_text()
    assert api.send("DELETE", "sys/config/auditing/request-headers/x-trace").status == 204
    reply = api.get("sys/config/auditing/request-headers/x-trace")
    assert (reply.status, reply.errors) == (400, ["Could not find header in config"])


@pytest.mark.parametrize("name", ["X-Vault-Token", "authorization", "Cookie", "X-Vault-MFA"])
def test_credentials_are_never_written_in_the_clear(api: AuditApi, name: str) -> None:
    assert api.post(f"sys/config/auditing/request-headers/{name}", {"hmac": False}).status == 400
    assert api.post(f"sys/config/auditing/request-headers/{name}", {}).status == 400


def test_a_header_has_the_name_of_a_header(api: AuditApi) -> None:
    assert api.post("sys/config/auditing/request-headers/a%20b", {}).status == 400


def test_all_of_it_needs_sudo_but_the_hash(api: AuditApi, tmp_path: Path) -> None:
    api.post("sys/audit/main", device(tmp_path / "audit.log"))
    rights = "create read update delete list"
    token = allowed(api, f"sys/audit:{rights}", f"sys/audit/*:{rights}", f"sys/config/auditing/*:{rights}", "sys/audit-hash/*:update")
    assert api.post("sys/audit-hash/main", {"input": "x"}, token=token).status == 200
    for reply in (
        api.get("sys/audit", token=token),
        api.post("sys/audit/x", device(tmp_path / "b.log"), token=token),
        api.send("DELETE", "sys/audit/main", token=token),
        api.get("sys/config/auditing/request-headers", token=token),
        api.post("sys/config/auditing/request-headers/x", {}, token=token),
    ):
        assert refused(reply)
    assert set(api.get("sys/audit").data) == {"main/"}


def test_a_device_and_a_header_are_in_use_before_the_answer_that_says_so_leaves(tmp_path: Path) -> None:
    """Whoever was told may count on it: the next request may arrive together with what waits for answers to be sent."""
    room = Strongroom(settings=Settings(dev=True))
    room.process.after_answer = lambda action: None  # type: ignore[method-assign]
    room.write("sys/audit/late", device(tmp_path / "log"))
    assert room.core.audit.device("late/") is not None
    room.write("sys/config/auditing/request-headers/x-trace", {"hmac": False})
    assert b"x-trace" in room.core.audit.request_headers
    room.delete("sys/audit/late")
    assert room.core.audit.device("late/") is None
