"""Strangers who try to log in do not learn which hosts the server asks, nor how those answer; the audit log does."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from strongroom.core.request import Operation
from strongroom.errors import StrongroomError
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.testing import Strongroom
from tests.auth.audited import audit_to, reasons
from tests.support.tokens import rsa_key, signed

HOST = "inner.example"


def nowhere(_host: str, _timeout: float) -> list[str]:
    raise OSError("no such name")


def token(**claims: Any) -> str:
    account = {"namespace": "a", "serviceaccount": {"name": "b", "uid": "c"}}
    usual = {"sub": "1", "aud": "/vault/r", "exp": 1_767_225_700, "iss": "accounts.google.com", "kubernetes.io": account}
    return signed(rsa_key(), {**usual, **claims})


CONFIGS: Mapping[str, Mapping[str, Any]] = {
    "ldap": {"config": {"url": f"ldaps://{HOST}"}},
    "okta": {"config": {"org_name": "inner", "base_url": "example"}},
    "radius": {"config": {"host": HOST, "secret": "a secret of radius"}},
    "github": {"config": {"organization": "acme", "organization_id": 7, "base_url": f"https://{HOST}/"}},
    "azure": {
        "config": {"tenant_id": "t", "resource": "r", "authority_url": f"https://{HOST}"},
        "role/r": {"bound_service_principal_ids": "x"},
    },
    "gcp": {
        "config": {"google_certs_endpoint": f"https://{HOST}/keys"},
        "role/r": {"type": "iam", "bound_service_accounts": "*"},
    },
    "kubernetes": {
        "config": {"kubernetes_host": HOST},
        "role/r": {"bound_service_account_names": "*", "bound_service_account_namespaces": "*"},
    },
}
"""What makes a method ask a host that does not answer."""

LOGINS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ldap": ("login/ada", {"password": "right"}),
    "okta": ("login/ada", {"password": "right"}),
    "radius": ("login/ada", {"password": "right"}),
    "github": ("login", {"token": "ghp_0123"}),
    "azure": ("login", {"role": "r", "jwt": token()}),
    "gcp": ("login", {"role": "r", "jwt": token()}),
    "kubernetes": ("login", {"role": "r", "jwt": token()}),
}


@pytest.mark.parametrize("kind", LOGINS)
def test_a_login_names_no_host_and_the_audit_log_says_what_is_wrong(tmp_path: Path, kind: str) -> None:
    room = Strongroom(outbound=Outbound(Dialer(resolve=nowhere)))
    room.write(f"sys/auth/{kind}", {"type": kind})
    for place, body in CONFIGS[kind].items():
        room.write(f"auth/{kind}/{place}", body)
    file = audit_to(room, tmp_path)
    place, body = LOGINS[kind]
    work = room.request(Operation.UPDATE, f"auth/{kind}/{place}", body, token="")
    assert isinstance(work.error, StrongroomError) and work.error.status in (502, 503)
    said = "".join(work.error.messages)
    assert HOST not in said
    assert "looked up" in said + reasons(file)[-1]


def test_administrators_are_told(tmp_path: Path) -> None:
    """The negative control: the same error, where a policy allowed the request."""
    room = Strongroom(outbound=Outbound(Dialer(resolve=nowhere)))
    room.write("sys/auth/cert", {"type": "cert"})
    with pytest.raises(StrongroomError, match=HOST):
        room.write("auth/cert/crls/a", {"url": f"https://{HOST}/list"})
