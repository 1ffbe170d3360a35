"""Requests and answers of LDAP (RFC 4511, 4), to and from bytes.

    LDAPMessage ::= SEQUENCE { messageID, protocolOp, controls [0] OPTIONAL }

Rules of this file: no I/O. A simple bind has a name and a password or it is not built: without a password a server takes it as
anonymous and answers success (RFC 4513, 5.1.2). Diagnostic texts are not kept: servers quote what they were sent in them.
"""

from __future__ import annotations

from typing import Final

import msgspec

from strongroom.outbound.ldap import ber
from strongroom.outbound.ldap.ber import Malformed, Reader

SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
NO_SUCH_OBJECT: Final = 32
INVALID_CREDENTIALS: Final = 49

RESULTS: Final = {
    1: "operationsError", 2: "protocolError", 3: "timeLimitExceeded", 4: "sizeLimitExceeded", 7: "authMethodNotSupported",
    8: "strongerAuthRequired", 10: "referral", 11: "adminLimitExceeded", 12: "unavailableCriticalExtension",
    13: "confidentialityRequired", 14: "saslBindInProgress", 16: "noSuchAttribute", 17: "undefinedAttributeType",
    18: "inappropriateMatching", 21: "invalidAttributeSyntax", 32: "noSuchObject", 34: "invalidDNSyntax",
    48: "inappropriateAuthentication", 49: "invalidCredentials", 50: "insufficientAccessRights", 51: "busy", 52: "unavailable",
    53: "unwillingToPerform", 80: "other",
}  # fmt: skip
"""Names of result codes (RFC 4511, A.1)."""

BASE, SUBTREE = 0, 2
"""Scopes of a search."""

START_TLS: Final = "1.3.6.1.4.1.1466.20037"
PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"

BIND_RESPONSE, ENTRY, DONE, REFERENCE, EXTENDED_RESPONSE = 0x61, 0x64, 0x65, 0x73, 0x78
_BIND_REQUEST, _SEARCH_REQUEST, _EXTENDED_REQUEST, _UNBIND, _CONTROLS = 0x60, 0x63, 0x77, 0x42, 0xA0
_VERSION = 3


class Search(msgspec.Struct, frozen=True):
    """What is looked for. `filter` is encoded; `size_limit` 0 = the server's; `page_size` 0 = not in pages (RFC 2696)."""

    base: str
    scope: int
    filter: bytes
    attributes: tuple[str, ...]
    dereference: int = 0
    size_limit: int = 0
    page_size: int = 0


class Entry(msgspec.Struct, frozen=True):
    """An entry that was found: its name, and values by attribute in lower case."""

    name: str
    attributes: dict[str, tuple[bytes, ...]]

    def texts(self, attribute: str) -> tuple[str, ...]:
        """The values of an attribute that are texts."""
        found = []
        for value in self.attributes.get(attribute.lower(), ()):
            try:
                found.append(value.decode())
            except UnicodeDecodeError:
                continue
        return tuple(found)


class Answer(msgspec.Struct, frozen=True):
    """One message of the server. `id` 0 is a notice that nobody asked for."""

    id: int
    kind: int
    body: bytes
    controls: bytes = b""


# -- requests -------------------------------------------------------------------------------------------------------


def bind(number: int, name: str, password: str) -> bytes:
    """A simple bind. Raises ValueError where name or password is empty, which would be no authentication at all."""
    if not name or not password:
        raise ValueError("a simple bind needs a name and a password")
    return _message(number, _bind(name, password))


def bind_anonymously(number: int) -> bytes:
    """Ask to be nobody (RFC 4513, 5.1.1)."""
    return _message(number, _bind("", ""))


def unbind(number: int) -> bytes:
    """The end; there is no answer."""
    return _message(number, ber.element(_UNBIND))


def start_tls(number: int) -> bytes:
    """Ask to go on in TLS (RFC 4511, 4.14)."""
    return _message(number, ber.element(_EXTENDED_REQUEST, ber.octets(START_TLS, 0x80)))


def search(number: int, wanted: Search, cookie: bytes = b"") -> bytes:
    """A search, or its next page."""
    request = ber.element(
        _SEARCH_REQUEST,
        ber.octets(wanted.base),
        ber.integer(wanted.scope, ber.ENUMERATED),
        ber.integer(wanted.dereference, ber.ENUMERATED),
        ber.integer(wanted.size_limit),
        ber.integer(0),
        ber.boolean(False),
        wanted.filter,
        ber.element(ber.SEQUENCE, *(ber.octets(name) for name in wanted.attributes)),
    )
    if not wanted.page_size:
        return _message(number, request)
    value = ber.element(ber.SEQUENCE, ber.integer(wanted.page_size), ber.octets(cookie))
    control = ber.element(ber.SEQUENCE, ber.octets(PAGED_RESULTS), ber.boolean(True), ber.octets(value))
    return _message(number, request, ber.element(_CONTROLS, control))


def _bind(name: str, password: str) -> bytes:
    return ber.element(_BIND_REQUEST, ber.integer(_VERSION), ber.octets(name), ber.octets(password, 0x80))


def _message(number: int, *parts: bytes) -> bytes:
    return ber.element(ber.SEQUENCE, ber.integer(number), *parts)


# -- answers --------------------------------------------------------------------------------------------------------


def read_answer(data: bytes) -> Answer:
    """One whole message. Raises Malformed."""
    message = Reader(data).inside(ber.SEQUENCE)
    number = message.number()
    kind = message.kind
    body = message.take(kind)
    return Answer(number, kind, body, message.take(_CONTROLS) if message else b"")


def result_code(answer: Answer) -> int:
    """The result of the request that this answers."""
    return Reader(answer.body).number(ber.ENUMERATED)


def read_entry(answer: Answer) -> Entry:
    """The entry in a SearchResultEntry."""
    body = Reader(answer.body)
    name = body.text()
    attributes: dict[str, list[bytes]] = {}
    listed = body.inside(ber.SEQUENCE)
    while listed:
        attribute = listed.inside(ber.SEQUENCE)
        attributes.setdefault(attribute.text().lower(), []).extend(attribute.inside(ber.SET).all(ber.OCTETS))
    return Entry(name, {kind: tuple(values) for kind, values in attributes.items()})


def page_cookie(answer: Answer) -> bytes:
    """Where the next page begins; nothing after the last."""
    controls = Reader(answer.controls)
    for control in (Reader(content) for content in controls.all(ber.SEQUENCE)):
        if control.text() != PAGED_RESULTS:
            continue
        if control.kind == ber.BOOLEAN:
            control.take(ber.BOOLEAN)
        value = control.inside(ber.OCTETS).inside(ber.SEQUENCE)
        value.number()
        return value.take(ber.OCTETS)
    return b""


__all__ = [
    "BASE", "BIND_RESPONSE", "DONE", "ENTRY", "EXTENDED_RESPONSE", "INVALID_CREDENTIALS", "NO_SUCH_OBJECT", "REFERENCE", "RESULTS",
    "SIZE_LIMIT_EXCEEDED", "SUBTREE", "SUCCESS", "Answer", "Entry", "Malformed", "Search", "bind", "bind_anonymously", "page_cookie",
    "read_answer", "read_entry", "result_code", "search", "start_tls", "unbind",
]  # fmt: skip
