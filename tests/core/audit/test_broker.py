"""Broker and lines: what is written of a call, what is hidden, and what happens when a device does not take it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from strongroom.core.audit.broker import Broker, audit_hash
from strongroom.core.call import Decision
from strongroom.core.request import Operation, Peer
from strongroom.core.response import NOTHING, Auth, Bare, Json, LeaseInfo, Response, WrapInfo
from strongroom.core.secret import Secret
from strongroom.crypto.mac import Mac
from strongroom.errors import AuditFailed, InternalError, InvalidRequest, NotFound, PermissionDenied
from strongroom.memo import Memo
from strongroom.testing.room import FakeClock
from tests.core.audit.kit import ACCESSOR, KEY, TOKEN, UUID, Memory, broker, call, device, mount, token

GRANTED = Decision(False, ("app",))


def hashed(text: str) -> str:
    return f"hmac-sha256:{Mac(KEY).hex(text.encode())}"


def lines(asked: Any, response: Response | None = NOTHING, error: BaseException | None = None, **options: str) -> list[dict[str, Any]]:
    """Both lines of a call."""
    sink = Memory()
    audit = broker(device(sink, **options))
    audit.request(asked, error)
    audit.response(asked, response, error)
    audit.flush()
    return sink.lines


def test_a_read_leaves_the_lines_vault_writes() -> None:
    asked = call(caller=token(ttl=3600, entity_id="e-1"), where=mount(), decision=GRANTED)
    request, response = lines(asked, Response(data=Json(b'{"data":{"password":"hunter2"},"version":3}')))
    assert (request["type"], response["type"]) == ("request", "response")
    assert request["time"] == "2026-01-01T00:00:00.000000000Z"
    who = {
        "client_token": hashed(TOKEN),
        "accessor": hashed(ACCESSOR),
        "display_name": "token",
        "policies": ["app", "default"],
        "token_type": "service",
        "token_ttl": 3600,
        "token_issue_time": "",
        "metadata": {"role_name": "app"},
        "entity_id": "e-1",
    }
    granted = {"allowed": True, "granting_policies": [{"name": "app", "namespace_id": "root", "type": "acl"}]}
    assert request["auth"] == who | {"token_policies": ["default", "app"], "policy_results": granted}
    assert response["auth"] == who | {"policy_results": {"allowed": True}}
    assert (
        request["request"]
        == response["request"]
        == {
            "client_id": "e-1",
            "client_token": hashed(TOKEN),
            "client_token_accessor": hashed(ACCESSOR),
            "id": "id-1",
            "operation": "read",
            "mount_accessor": "kv_1234",
            "mount_class": "secret",
            "mount_point": "secret/",
            "mount_type": "kv",
            "namespace": {"id": "root"},
            "path": "secret/data/app",
            "remote_address": "10.1.2.3",
            "remote_port": 4711,
        }
    )
    assert response["response"] == {
        "mount_accessor": "kv_1234",
        "mount_class": "secret",
        "mount_point": "secret/",
        "mount_type": "kv",
        "data": {"data": {"password": hashed("hunter2")}, "version": 3},
    }


def test_what_was_sent_stands_in_the_request_line_alone() -> None:
    request, response = lines(call(raw=b'{"password":"hunter2"}', caller=token(), decision=GRANTED))
    assert request["request"]["data"] == {"password": hashed("hunter2")}
    del request["request"]["data"]
    assert response["request"] == request["request"]


def test_a_denied_call_without_a_mount_is_written_with_its_masked_token() -> None:
    request, response = lines(call(), None, PermissionDenied())
    for line in (request, response):
        assert line["error"] == "permission denied"
        assert line["auth"] == {"client_token": hashed(TOKEN), "policy_results": {"allowed": False}, "token_type": "default"}
        assert line["request"]["client_token"] == hashed(TOKEN)
    assert response["response"] == {}


def test_a_login_needs_no_token_and_its_answer_is_masked() -> None:
    asked = call("auth/userpass/login/bob", b'{"password":"hunter2"}', Operation.UPDATE, credential="")
    auth = Auth(client_token=Secret(TOKEN), accessor=ACCESSOR, policies=("app",), token_policies=("app",), lease_duration=60, num_uses=2)
    request, response = lines(asked, Response(auth=auth))
    assert request["request"]["data"] == {"password": hashed("hunter2")}
    assert "client_token" not in request["auth"]
    assert response["response"]["auth"] == {
        "client_token": hashed(TOKEN),
        "accessor": hashed(ACCESSOR),
        "policies": ["app"],
        "token_policies": ["app"],
        "token_type": "service",
        "token_ttl": 60,
        "num_uses": 2,
    }


def test_leases_wrapping_warnings_and_bare_answers_are_written() -> None:
    wrap = WrapInfo(token=Secret(TOKEN), accessor=ACCESSOR, ttl=5, creation_time=1, creation_path="p", wrapped_accessor="w")
    answer = Response(lease=LeaseInfo("pki/1"), wrap=wrap, warnings=("careful",), bare=Bare(b"-----BEGIN", "application/x-pem-file"))
    written = lines(call(), answer)[1]["response"]
    assert written["secret"] == {"lease_id": "pki/1"}
    assert written["wrap_info"]["token"] == hashed(TOKEN)
    assert written["wrap_info"]["wrapped_accessor"] == hashed("w")
    assert written["warnings"] == ["careful"]
    assert written["data"]["http_raw_body"] == hashed("-----BEGIN")


def test_accessors_may_stay_in_the_clear() -> None:
    request = lines(call(caller=token()), hmac_accessor="false")[0]
    assert request["auth"]["accessor"] == request["request"]["client_token_accessor"] == ACCESSOR
    assert request["auth"]["client_token"] == hashed(TOKEN)


def test_listed_keys_of_a_mount_stay_in_the_clear() -> None:
    where = mount(audit_non_hmac_request_keys=("user",), audit_non_hmac_response_keys=("version",))
    asked = call(raw=b'{"user":"bob","version":"1"}', where=where)
    request, response = lines(asked, Response(data={"user": "bob", "deep": [{"version": "2"}]}))
    assert request["request"]["data"] == {"user": "bob", "version": hashed("1")}
    assert response["response"]["data"] == {"user": hashed("bob"), "deep": [{"version": "2"}]}


def test_a_tuned_mount_is_written_by_its_new_rules_at_once() -> None:
    sink = Memory()
    audit = broker(device(sink))
    masks: Memo[Any, bytes] = Memo()
    for config in ({}, {"audit_non_hmac_response_keys": ("user",)}, {}):
        asked = call(where=mount(**config))
        audit.response(asked, Response(data=Json(b'{"user":"bob"}', masks)))
    audit.flush()
    assert [line["response"]["data"]["user"] for line in sink.lines] == [hashed("bob"), "bob", hashed("bob")]


def test_two_devices_have_hashes_of_their_own_and_share_no_mask() -> None:
    first, second = Memory("one"), Memory("two")
    other = device(second, uuid="other", path="two/")
    other.format.mask = type(other.format.mask)(b"k" * 32)
    audit = broker(device(first), other)
    asked = call(caller=token(), where=mount())
    audit.request(asked)
    audit.response(asked, Response(data=Json(b'{"a":"b"}', Memo())))
    audit.flush()
    for member in (lambda line: line["auth"]["client_token"], lambda line: line["response"]["data"]["a"]):
        assert member(first.lines[1]) != member(second.lines[1])


def test_stored_text_is_masked_once() -> None:
    masks: Memo[Any, bytes] = Memo()
    asked = call(where=mount())
    lines(asked, Response(data=Json(b'{"a":"b"}', masks)))
    (key,) = masks
    masks[key] = b'{"a":"kept"}'
    assert lines(asked, Response(data=Json(b'{"a":"b"}', masks)))[1]["response"]["data"] == {"a": "kept"}


def test_a_token_is_masked_once_a_device_and_decision() -> None:
    caller = token()
    for decision in (GRANTED, GRANTED, Decision(False, ("default",)), None):
        lines(call(caller=caller, decision=decision))
    assert len(caller.fragments) == 3


def test_a_root_token_says_so() -> None:
    results = lines(call(caller=token(policies=("root",)), decision=Decision(True)))[0]["auth"]["policy_results"]
    assert results["granting_policies"] == [{"name": "root", "namespace_id": "root", "type": "acl"}]


def test_what_a_not_found_shows_is_written() -> None:
    response = lines(call(), None, NotFound("gone", data={"deletion_time": "2026"}))[1]
    assert response["response"]["data"] == {"deletion_time": hashed("2026")}


def test_an_exception_that_is_not_ours_is_not_quoted() -> None:
    assert lines(call(), None, ValueError("hunter2"))[1]["error"] == "internal error"
    assert lines(call(), None, InternalError("disk"))[1]["error"] == "disk"


def test_headers_are_written_only_if_listed_and_masked_if_asked() -> None:
    sink = Memory()
    audit = broker(device(sink))
    audit.request_headers = {"X-Tenant": False, "x-key": True, "x-absent": True}
    audit.request(call(headers={b"x-tenant": b"blue", b"x-key": b"hunter2", b"cookie": b"c"}))
    audit.flush()
    assert sink.lines[0]["request"]["headers"] == {"x-tenant": ["blue"], "x-key": [hashed("hunter2")]}


def test_wrapping_namespace_and_certificate_are_written() -> None:
    peer = Peer("::1", 1, certificate(77))
    request = lines(call(wrap_ttl=60, namespace="team", peer=peer))[0]["request"]
    assert (request["wrap_ttl"], request["namespace"]) == (60, {"id": "team", "path": "team/"})
    assert request["client_certificate_serial_number"] == "77"


def certificate(serial: int) -> bytes:
    from datetime import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    key = Ed25519PrivateKey.generate()
    name = x509.Name([])
    made = x509.CertificateBuilder(name, name, key.public_key(), serial, datetime(2026, 1, 1), datetime(2027, 1, 1))  # noqa: DTZ001
    return made.sign(key, None).public_bytes(Encoding.DER)


def test_a_listing_may_be_written_as_its_length() -> None:
    asked = call("secret/metadata/", operation=Operation.LIST)
    answer = Response(data={"keys": ["a", "b"], "key_info": {"a": 1}})
    assert lines(asked, answer, elide_list_responses="true")[1]["response"]["data"] == {"keys": 2, "key_info": 1}
    assert lines(asked, answer)[1]["response"]["data"]["keys"] == [hashed("a"), hashed("b")]


def test_hostile_texts_stay_inside_their_strings() -> None:
    path = 'a"},"type":"x\n\\\u2028\ud800'
    request = lines(call(path, peer=Peer('1"}', 1)))[0]
    assert request["type"] == "request"
    assert request["request"]["path"].startswith('a"},"type":"x\n\\')
    assert request["request"]["remote_address"] == '1"}'


@pytest.mark.parametrize(
    "options",
    [{"log_raw": "true"}, {"prefix": "#!/bin/sh"}, {"format": "jsonx"}, {"hmac_accessor": "perhaps"}],
    ids=["log_raw", "prefix", "jsonx", "no boolean"],
)
def test_options_that_would_leak_or_are_unknown_are_refused(options: Mapping[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        device(Memory(), **options)


def test_audit_hash_finds_what_was_written() -> None:
    one = device(Memory())
    assert audit_hash(one, "hunter2") == hashed("hunter2")


# --- broker ---


def test_without_devices_nothing_is_written_and_nothing_fails() -> None:
    audit = broker()
    audit.request(call())
    audit.flush()
    assert not audit.enabled


def test_lines_leave_in_one_write_a_flush() -> None:
    sink = Memory()
    writes: list[bytes] = []
    audit = broker(device(sink))
    sink.write = writes.append  # type: ignore[method-assign, assignment]
    for _ in range(3):
        audit.request(call())
        audit.response(call(), NOTHING)
    audit.flush()
    audit.flush()
    assert [block.count(b"\n") for block in writes] == [6]


def test_lines_of_one_tick_share_its_time_and_later_ones_do_not() -> None:
    clock, sink = FakeClock(), Memory()
    audit = broker(device(sink), clock=clock)
    for wait in (0.5, 1.0):
        audit.request(call())
        clock.advance(wait)
        audit.response(call(), NOTHING)
        audit.flush()
    assert [line["time"][17:21] for line in sink.lines] == ["00.0", "00.0", "00.5", "00.5"]


def test_one_good_device_is_enough_and_none_is_an_error() -> None:
    good, bad = Memory("good"), Memory("bad")
    audit = broker(device(good), device(bad, uuid="bad", path="bad/"))
    bad.failing = True
    audit.request(call())
    audit.flush()
    good.failing = True
    audit.request(call())
    with pytest.raises(AuditFailed):
        audit.flush()
    assert audit.failures == 3
    assert len(good.lines) == 1


def test_a_device_that_missed_lines_goes_on_in_a_new_stream_that_says_so() -> None:
    sink = Memory()
    audit = broker(device(sink))
    audit.request(call())
    audit.flush()
    sink.failing = True
    audit.request(call())
    audit.response(call(), NOTHING)
    with pytest.raises(AuditFailed):
        audit.flush()
    sink.failing = False
    audit.request(call())
    audit.flush()
    before, head, after = map(msgspec.json.decode, sink.taken.splitlines()[1:])
    assert head["previous"] == {"stream": before["stream"], "seq": before["seq"], "chain": before["chain"]}
    assert (head["missed"], head["part"], after["seq"]) == (2, 2, 1)


def test_a_flush_that_lost_somebody_elses_line_is_known_to_him() -> None:
    sink = Memory()
    audit = broker(device(sink))
    mine = audit.lost
    audit.request(call())
    sink.failing = True
    with pytest.raises(AuditFailed):
        audit.flush()
    sink.failing = False
    audit.flush()
    with pytest.raises(AuditFailed):
        audit.flush(mine)
    audit.flush(audit.lost)


def test_a_device_that_takes_no_probe_is_not_enabled_unless_the_test_is_skipped() -> None:
    sink = Memory()
    sink.failing = True
    audit = broker()
    with pytest.raises(InvalidRequest):
        audit.enable(device(sink))
    assert not audit.enabled
    audit.enable(device(sink, skip_test="true"))
    sink.failing = False
    audit.request(call())
    audit.flush()
    assert len(sink.lines) == 1


def test_two_devices_cannot_write_to_one_place() -> None:
    audit = broker(device(Memory("same")))
    with pytest.raises(InvalidRequest):
        audit.enable(device(Memory("same"), path="other/"))


def test_a_disabled_device_takes_the_lines_that_wait_and_no_more() -> None:
    sink = Memory()
    audit = broker(device(sink))
    audit.request(call())
    audit.disable("memory/")
    audit.request(call())
    audit.flush()
    assert len(sink.lines) == 1


class Slow(Memory):
    """A sink that answers when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.inline = False
        self.gate = threading.Event()
        self.gate.set()
        self.done = threading.Event()

    def write(self, block: bytes) -> None:
        self.gate.wait(10)
        super().write(block)
        self.done.set()


def test_a_slow_device_costs_one_deadline_and_what_arrives_late_has_arrived() -> None:
    sink = Slow()
    audit = broker(device(sink))
    sink.gate.clear()
    sink.done.clear()
    audit.request(call())
    with pytest.raises(AuditFailed):
        audit.flush()
    sink.gate.set()
    assert sink.done.wait(10)
    settled = audit.devices[0]._unsure
    assert settled is not None
    settled.outcome.result(10)
    audit.request(call())
    audit.flush()
    assert [line["seq"] for line in sink.lines] == [1, 2]
    assert len({line["stream"] for line in sink.lines}) == 1


def test_lines_missed_while_a_device_is_stuck_begin_a_new_stream() -> None:
    sink = Slow()
    audit = broker(device(sink))
    sink.gate.clear()
    for _ in range(3):
        audit.request(call())
        with pytest.raises(AuditFailed):
            audit.flush()
    stuck = audit.devices[0]._unsure
    assert stuck is not None
    sink.gate.set()
    stuck.outcome.result(10)
    for _ in range(100):
        audit.request(call())
        try:
            audit.flush()
            break
        except AuditFailed:
            threading.Event().wait(0.01)
    heads = [line for line in map(msgspec.json.decode, sink.taken.splitlines()) if line["type"] == "stream"]
    assert heads[1]["previous"]["seq"] == 1
    assert heads[1]["missed"] >= 2
    audit.close()


def test_the_first_device_keeps_serving_while_the_second_is_stuck() -> None:
    good, stuck = Memory("good"), Slow()
    audit = broker(device(good), device(stuck, uuid=UUID[:-1] + "2", path="stuck/"))
    stuck.gate.clear()
    for _ in range(3):
        audit.request(call())
        audit.flush()
    assert len(good.lines) == 3
    stuck.gate.set()
    audit.close()


def slow_ones(number: int) -> list[Slow]:
    made = [Slow() for _ in range(number)]
    for each, name in zip(made, "abcdefgh", strict=False):
        each.place = name
    return made


def over(sinks: list[Slow]) -> Broker:
    return broker(*(device(sink, uuid=UUID[:-1] + str(at), path=f"{sink.place}/") for at, sink in enumerate(sinks)))


def test_devices_that_may_block_write_at_one_time() -> None:
    """Each waits until all the others are writing, too: one after the other they would wait for ever."""
    sinks = slow_ones(3)
    audit = over(sinks)
    together = threading.Barrier(3, timeout=5)
    for sink in sinks:
        sink.gate.wait = lambda _seconds: bool(together.wait()) or True  # type: ignore[method-assign,misc,assignment]
    audit.request(call())
    audit.flush()
    assert [len(sink.lines) for sink in sinks] == [1, 1, 1]
    assert audit.failures == 0
    audit.close()


def test_devices_that_are_stuck_together_cost_one_deadline_together() -> None:
    sinks = slow_ones(5)
    audit = over(sinks)
    for sink in sinks:
        sink.gate.clear()
    audit.request(call())
    began = time.monotonic()
    with pytest.raises(AuditFailed):
        audit.flush()
    assert time.monotonic() - began < 2.5 * 0.2
    for sink in sinks:
        sink.gate.set()
    audit.close()
