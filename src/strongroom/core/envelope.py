"""The JSON that wraps every logical answer: nine members, always all of them, nulls included (Vault's HTTP API).

Rules of this file: it renders what a Response says and decides nothing; Json data is spliced in as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from strongroom.clock import rfc3339
from strongroom.core.response import Auth, Json, LeaseInfo, Listed, Response, WrapInfo
from strongroom.core.secret import Secret

_NO_LEASE = LeaseInfo()


def _plain(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise TypeError(f"an answer cannot hold a {type(value).__name__}")


_encoder = msgspec.json.Encoder(decimal_format="number", enc_hook=_plain)
encode = _encoder.encode
"""JSON of plain values: Decimal as number, Secret revealed."""


def _auth_members(auth: Auth) -> dict[str, Any]:
    """The `auth` block."""
    members: dict[str, Any] = {
        "client_token": auth.client_token.reveal(),
        "accessor": auth.accessor,
        "policies": auth.policies,
        "metadata": auth.metadata,
        "lease_duration": auth.lease_duration,
        "renewable": auth.renewable,
        "entity_id": auth.entity_id,
        "token_type": auth.token_type,
        "orphan": auth.orphan,
        "mfa_requirement": auth.mfa_requirement,
        "num_uses": auth.num_uses,
    }
    lists = {"token_policies": auth.token_policies, "identity_policies": auth.identity_policies}
    return members | {name: policies for name, policies in lists.items() if policies}


def _wrap_members(wrap: WrapInfo) -> dict[str, Any]:
    """The `wrap_info` block."""
    members = {
        "token": wrap.token.reveal(),
        "accessor": wrap.accessor,
        "ttl": wrap.ttl,
        "creation_time": rfc3339(wrap.creation_time),
        "creation_path": wrap.creation_path,
    }
    if wrap.wrapped_accessor:
        members["wrapped_accessor"] = wrap.wrapped_accessor
    return members


def data_text(data: Mapping[str, Any] | Json | None) -> bytes:
    """JSON of the `data` member."""
    if data is None:
        return b"null"
    return data.text if isinstance(data, Json | Listed) else encode(data)


def envelope(response: Response, request_id: str, mount_type: str = "") -> bytes:
    """The whole body of a logical answer. `mount_type`: the kind of the mount that gave it, where a token was asked for."""
    if response.wrap is not None:
        head = b'{"request_id":"","lease_id":"","renewable":false,"lease_duration":0,"data":null,'
        told = encode(_wrap_members(response.wrap)), encode(response.warnings or None)
        return head + b'"wrap_info":%b,"warnings":%b,"auth":null,"mount_type":""}' % told
    lease = response.lease or _NO_LEASE
    if response.auth is None and not response.warnings and not response.mirror and not lease.id:
        # The shape of a read, the most frequent answer.
        return (
            b'{"request_id":"%b","lease_id":"","renewable":%b,"lease_duration":%d,"data":%b,"wrap_info":null,"warnings":null,"auth":null,"mount_type":"%b"}'
            % (
                request_id.encode(),
                b"true" if lease.renewable else b"false",
                lease.duration,
                data_text(response.data),
                mount_type.encode(),
            )
        )
    text = (
        b'{"request_id":"%b","lease_id":%b,"renewable":%b,"lease_duration":%d,"data":%b,"wrap_info":null,"warnings":%b,"auth":%b,"mount_type":"%b"'
        % (
            request_id.encode(),
            encode(lease.id),
            b"true" if lease.renewable else b"false",
            lease.duration,
            data_text(response.data),
            encode(response.warnings or None),
            b"null" if response.auth is None else encode(_auth_members(response.auth)),
            mount_type.encode(),
        )
    )
    if response.mirror and isinstance(response.data, Mapping):
        extra = {key: value for key, value in response.data.items() if key not in _MEMBERS}
        if extra:
            return text + b"," + encode(extra)[1:]
    return text + b"}"


def errors_body(*messages: str) -> bytes:
    """The whole body of an answer that says nothing but what is wrong."""
    return encode({"errors": messages}) + b"\n"


_MEMBERS = frozenset(("request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth", "mount_type"))
