"""Where the server is: `https://host:port`, `http://host:port` or `unix:///path/of/socket`.

Rules of this file:
- An address holds no user name, query or fragment; a path before `/v1` is kept, as proxies need it.
- An IPv6 host stands in brackets in the URL and without them in `host`.
"""

from __future__ import annotations

from typing import NamedTuple

from strongroom.client.errors import BadSettings

_PORTS = {"https": 443, "http": 80}


class Address(NamedTuple):
    """A parsed address. For a unix socket `host` is `localhost` and `socket_path` is set."""

    scheme: str
    host: str
    port: int
    prefix: str = ""
    socket_path: str = ""

    @property
    def authority(self) -> str:
        """What goes into the Host header."""
        if self.socket_path:
            return self.host
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """The address as a URL without a path."""
        return f"{self.scheme}://{self.authority}"


def parse(text: str) -> Address:
    """Read an address. Raises BadSettings."""
    scheme, separator, rest = text.strip().partition("://")
    scheme = scheme.lower()
    if scheme == "unix" and rest.startswith("/"):
        return Address("http", "localhost", 80, socket_path=rest)
    if not separator or scheme not in _PORTS:
        raise _bad(text, "it must start with https://, http:// or unix:///")
    authority, slash, prefix = rest.partition("/")
    if any(mark in rest for mark in "@?# \t\r\n"):
        raise _bad(text, "it must hold a host and a port only, no user name, query or blanks")
    host, port = _split(text, authority)
    return Address(scheme, host, _port(text, port) if port else _PORTS[scheme], (slash + prefix).rstrip("/"))


def _split(text: str, authority: str) -> tuple[str, str]:
    if authority.startswith("["):
        host, bracket, port = authority[1:].partition("]")
        if not bracket or (port and not port.startswith(":")):
            raise _bad(text, "an IPv6 host is written [::1]:8200")
        return host, port[1:]
    host, _, port = authority.partition(":")
    if not host or ":" in port:
        raise _bad(text, "it names no host (an IPv6 host is written in brackets)")
    return host, port


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        raise _bad(text, "the port must be a number from 1 to 65535")
    return int(port)


def _bad(text: str, why: str) -> BadSettings:
    shown = "the address" if "@" in text else f"the address {text!r}"
    return BadSettings(f"{shown} cannot be used: {why}; give one such as https://127.0.0.1:8200 with -address or VAULT_ADDR")
