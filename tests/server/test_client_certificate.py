"""The client's certificate behind a proxy: read strictly, and from trusted proxies only (T11.4)."""

from __future__ import annotations

import base64
from urllib.parse import quote

import pytest

from strongroom.core.fields import Names
from strongroom.core.request import Peer
from strongroom.errors import ConfigError, InvalidRequest
from strongroom.server.client_certificate import certificate_header
from strongroom.server.config import Listener
from strongroom.server.forwarded import Forwarding, parse_networks
from strongroom.server.listeners import _forwarding

CERTIFICATE = b"\x30\x82" + bytes(range(256)) * 3
TEXT = base64.b64encode(CERTIFICATE)
LINES = b"\n".join(TEXT[at : at + 64] for at in range(0, len(TEXT), 64))
PEM = b"-----BEGIN CERTIFICATE-----\n" + LINES + b"\n-----END CERTIFICATE-----\n"

PROXY = Peer("10.0.0.1", 1, b"the proxy's own", (b"its chain",), frozenset(("metrics",)))
STRANGER = Peer("192.0.2.7", 1, b"the stranger's own", (b"his chain",))


def forwarding(*decoders: str, name: str = "Client-Cert") -> Forwarding:
    header = certificate_header(name, decoders) if name else None
    return Forwarding(parse_networks(["10.0.0.0/8"]), reject_not_present=False, reject_not_authorized=False, certificate=header)


def sent(value: bytes) -> dict[bytes, bytes]:
    return {b"x-forwarded-for": b"198.51.100.4", b"client-cert": value}


@pytest.mark.parametrize(
    ("decoders", "value"),
    [
        ((), TEXT),
        (("BASE64",), TEXT),
        (("BASE64", "DER"), TEXT),
        (("rfc9440",), b":" + TEXT + b":"),
        (("URL", "PEM"), quote(PEM).encode()),
        (("URL",), quote(TEXT).encode()),
        (("URL", "BASE64"), quote(LINES).encode()),
    ],
)
def test_what_proxies_write_is_read(decoders: tuple[str, ...], value: bytes) -> None:
    assert forwarding(*decoders).peer(PROXY, sent(value)) == Peer("198.51.100.4", 1, CERTIFICATE, (), frozenset(("metrics",)))


@pytest.mark.parametrize(
    ("decoders", "value"),
    [
        ((), TEXT + b", " + TEXT),
        ((), b"not base64!"),
        (("RFC9440",), TEXT),
        (("RFC9440",), b":" + TEXT + b":, :" + TEXT + b":"),
        (("RFC9440",), b":"),
        (("URL", "PEM"), quote(PEM + PEM).encode()),
        (("URL", "PEM"), quote(PEM).encode() + b", " + quote(PEM).encode()),
        (("PEM",), TEXT),
    ],
)
def test_what_is_not_one_certificate_is_refused(decoders: tuple[str, ...], value: bytes) -> None:
    with pytest.raises(InvalidRequest, match="client's certificate cannot be read"):
        forwarding(*decoders).peer(PROXY, sent(value))


def test_the_header_of_a_stranger_is_ignored() -> None:
    assert forwarding().peer(STRANGER, sent(TEXT)) == STRANGER


def test_a_proxys_own_certificate_is_never_its_clients() -> None:
    for each in (forwarding(), forwarding(name="")):
        assert each.peer(PROXY, {b"x-forwarded-for": b"198.51.100.4"}).leaf is None
        assert each.peer(PROXY, {}).leaf is None


def test_the_configuration_is_checked() -> None:
    made = _forwarding(
        Listener(
            x_forwarded_for_authorized_addrs=Names(("10.0.0.0/8",)),
            x_forwarded_for_client_cert_header="X-Client",
            x_forwarded_for_client_cert_header_decoders=Names(("url", "pem")),
        )
    )
    assert made is not None and made.certificate == certificate_header("x-client", ("URL", "PEM"))
    for listener in (
        Listener(x_forwarded_for_client_cert_header="X-Client"),
        Listener(x_forwarded_for_client_cert_header="X Client", x_forwarded_for_authorized_addrs=Names(("10.0.0.0/8",))),
        Listener(
            x_forwarded_for_client_cert_header="X-Client",
            x_forwarded_for_client_cert_header_decoders=Names(("ROT13",)),
            x_forwarded_for_authorized_addrs=Names(("10.0.0.0/8",)),
        ),
    ):
        with pytest.raises(ConfigError, match="x_forwarded_for_client_cert_header"):
            _forwarding(listener)
