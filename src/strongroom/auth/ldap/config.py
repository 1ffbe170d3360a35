"""What is stored of an ldap mount and the rules it obeys. Pure functions of what was sent and what is stored.

Rules of this file:
- One table says which fields there are and how each is checked; a field that was not sent keeps its value.
- Passwords and keys are taken and never shown, and go to no other directory than they were given for (core/destinations.py).
- Names and filters of administrators are checked when they are written, not when somebody wants to log in.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import msgspec

from strongroom.core.destinations import check_destination
from strongroom.core.forms import Duration, HiddenText, Reads, body_of, merged
from strongroom.core.token.parameters import TokenParameters
from strongroom.errors import InvalidRequest
from strongroom.outbound.ldap import names
from strongroom.outbound.ldap.filters import compile_filter
from strongroom.outbound.tls import ClientCertificate, tls_context
from strongroom.outbound.url import checked_host

USER_HOLES: Final = frozenset({"UserAttr", "Username"})
GROUP_HOLES: Final = frozenset({"UserDN", "Username"})
"""What the filters for users and for groups can use."""

GROUP_FILTER: Final = "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"

VERSIONS: Final = {"tls12": ssl.TLSVersion.TLSv1_2, "tls13": ssl.TLSVersion.TLSv1_3}
FORMER: Final = ("tls10", "tls11")
"""What the least version may be called, too: configurations made for Vault say so. Nothing below TLS 1.2 is spoken all the same."""
DEREFERENCE: Final = {"never": 0, "searching": 1, "finding": 2, "always": 3}
"""What `dereference_aliases` takes, and its number in a search (RFC 4511, 4.5.1.3)."""

MAX_URLS: Final = 8
MAX_WAIT: Final = 300
"""Seconds of either timeout. A login holds a thread for as long."""
MAX_PAGE: Final = 10_000

PORTS: Final = {"ldap": 389, "ldaps": 636}
_URL: Final = re.compile(r"(ldaps?)://(\[[0-9a-f:.]{2,45}\]|[^/\[\]:?#@\s]{1,253})(?::(\d{1,5}))?/?", re.ASCII)
_ATTRIBUTE: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}", re.ASCII)
_DOMAIN: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?", re.ASCII)

UNCHECKED_FILTER: Final = "userfilter configured does not consider userattr and may result in colliding entity aliases on logins"
OLD_TLS: Final = "TLS 1.2 is the least that is spoken, whatever tls_min_version says"
IN_CLEAR: Final = "passwords travel to the directory in the clear; use ldaps:// in 'url', or set starttls=true"
NULL_BIND: Final = (
    "deny_null_bind=false has no effect: an empty password is refused always, since directories take it for an anonymous bind"
)


class Server(msgspec.Struct, frozen=True):
    """Where a directory listens. `tls`: from the first byte on."""

    host: str
    port: int
    tls: bool


class Config(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The configuration. Names of fields and defaults are Vault's, but for `tls_max_version`."""

    url: Annotated[str, "The directory: ldaps://host:port or ldap://host:port. Several with commas are tried in order."] = (
        "ldap://127.0.0.1"
    )
    starttls: Annotated[bool, "Go on in TLS after connecting to an ldap:// address; a refusal ends the login."] = False
    insecure_tls: Annotated[bool, "Only false: the directory's certificate is always verified."] = False
    tls_min_version: Annotated[str, "tls12 or tls13; tls10 and tls11 mean tls12."] = "tls12"
    tls_max_version: Annotated[str, "tls12 or tls13."] = "tls13"
    certificate: Annotated[str, "CA certificates in PEM to trust in place of the system's."] = ""
    client_tls_cert: Annotated[HiddenText, "A certificate in PEM to show the directory."] = ""
    client_tls_key: Annotated[HiddenText, "Its key in PEM; never shown."] = ""
    binddn: Annotated[str, "The account that looks for users and groups."] = ""
    bindpass: Annotated[HiddenText, "Its password; never shown."] = ""
    userdn: Annotated[str, "Below which name users are, such as ou=people,dc=example,dc=com."] = ""
    userattr: Annotated[str, "The attribute that has the name people log in with."] = "cn"
    userfilter: Annotated[str, "How to find a user; {{.UserAttr}} and {{.Username}} are filled in."] = "({{.UserAttr}}={{.Username}})"
    upndomain: Annotated[str, "Log in as name@upndomain, as Active Directory lets."] = ""
    discoverdn: Annotated[bool, "Look for users without an account of one's own."] = False
    deny_null_bind: Annotated[bool, "Refuse empty passwords. They are refused in any case."] = True
    groupdn: Annotated[str, "Below which name groups are; no search for groups where it is empty."] = ""
    groupfilter: Annotated[str, "How to find a user's groups; {{.UserDN}} and {{.Username}} are filled in."] = (
        "(|(memberUid={{.Username}})(member={{.UserDN}})(uniqueMember={{.UserDN}}))"
    )
    groupattr: Annotated[str, "The attribute of what is found that names the group."] = "cn"
    anonymous_group_search: Annotated[bool, "Look for groups without a name."] = False
    use_token_groups: Annotated[bool, "Take groups from Active Directory's tokenGroups, nested ones too."] = False
    username_as_alias: Annotated[bool, "Name the entity alias by what was typed, not by userattr's value."] = False
    case_sensitive_names: Annotated[bool, "Groups count with case. Users never do."] = False
    dereference_aliases: Annotated[str, "never, finding, searching or always."] = "never"
    max_page_size: Annotated[int, "Ask for groups in pages of this size; 0 = all at once."] = 0
    request_timeout: Annotated[Duration, "How long the questions of a login may take together."] = 90
    connection_timeout: Annotated[Duration, "How long connecting to one address may take."] = 30
    token: TokenParameters = TokenParameters()

    def __repr__(self) -> str:
        return "Config()"

    @property
    def servers(self) -> tuple[Server, ...]:
        """The directories, in the order they are tried."""
        return tuple(_server(text) for text in self.url.split(","))

    @property
    def searches(self) -> bool:
        """Whether users are found before they prove themselves; else their name is put together from what they typed."""
        return self.discoverdn or bool(self.binddn and self.bindpass)

    def context(self) -> ssl.SSLContext:
        """How TLS is spoken to the directory. Raises InvalidRequest where the PEM texts are none."""
        own = ClientCertificate(self.client_tls_cert, self.client_tls_key) if self.client_tls_cert else None
        return tls_context(self.certificate, own, (VERSIONS.get(self.tls_min_version, VERSIONS["tls12"]), VERSIONS[self.tls_max_version]))


ConfigBody: Final = body_of(Config)


def changed_config(before: Config | None, body: msgspec.Struct) -> Config:
    """The configuration after a write. Raises InvalidRequest."""
    start = before or Config()
    after = merged(start, body, _READS)
    _check(after)
    check_destination("bindpass", start, body, moved=_moved(start, after), by="url, or without starttls")
    return after


def _moved(before: Config, after: Config) -> bool:
    """Whether passwords go to other directories, or begin to travel in the clear."""
    return bool({*after.servers} - {*before.servers}) or (before.starttls and not after.starttls)


def warnings(config: Config) -> tuple[str, ...]:
    """What an administrator should know of a configuration that is accepted. A read says all of it; a write no more than Vault's, since
    clients take any other answer to it than 204 for an error.
    """
    found = [*write_warnings(config)]
    if config.tls_min_version in FORMER:
        found.append(OLD_TLS)
    if not config.starttls and any(not server.tls and server.host not in _THIS_HOST for server in config.servers):
        found.append(IN_CLEAR)
    if not config.deny_null_bind:
        found.append(NULL_BIND)
    return tuple(found)


def write_warnings(config: Config) -> tuple[str, ...]:
    """Vault's."""
    return (UNCHECKED_FILTER,) if ignores_userattr(config) else ()


def ignores_userattr(config: Config) -> bool:
    """Whether `userfilter` finds people by something else than what names their alias."""
    return config.userattr not in config.userfilter.lower() and "UserAttr" not in config.userfilter


def _check(config: Config) -> None:
    if config.tls_max_version < config.tls_min_version:
        raise InvalidRequest("'tls_max_version' must be greater than or equal to 'tls_min_version'")
    if bool(config.client_tls_cert) is not bool(config.client_tls_key):
        raise InvalidRequest("both client_tls_cert and client_tls_key must be set")
    config.context()


# -- fields -------------------------------------------------------------------------------------------------------------------------


def _urls(text: str) -> str:
    parts = [part.strip().lower() for part in text.split(",")]
    if len(parts) > MAX_URLS:
        raise ValueError(f"takes at most {MAX_URLS} addresses")
    for part in parts:
        _server(part)
    return ",".join(parts)


def _server(text: str) -> Server:
    match = _URL.fullmatch(text)
    if match is None:
        raise ValueError("takes ldap://host, ldaps://host or either with :port, several with commas")
    scheme, host, port = match.groups()
    number = int(port) if port else PORTS[scheme]
    if not 0 < number < 65_536:
        raise ValueError("a port is a number from 1 to 65535")
    return Server(checked_host(host), number, scheme == "ldaps")


def _secure(insecure: bool) -> bool:
    if insecure:
        raise ValueError("the directory's certificate is always verified; put the CA that signed it in 'certificate'")
    return insecure


def _name(text: str) -> str:
    names.parse(text)
    return text


def _filter(holes: frozenset[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text:
            compile_filter(text, holes)
        return text

    return check


def _one_of(table: Mapping[str, object]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in table:
            raise ValueError(f"takes {', '.join(table)}")
        return text

    return check


def _matching(pattern: re.Pattern[str], says: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if not pattern.fullmatch(text):
            raise ValueError(says)
        return text

    return check


def _between(least: int, most: int) -> Callable[[int], int]:
    def check(number: int) -> int:
        if not least <= number <= most:
            raise ValueError(f"takes {least} to {most}")
        return number

    return check


def _authorities(text: str) -> str:
    try:
        tls_context(text)
    except InvalidRequest:
        raise InvalidRequest("failed to parse server tls cert: failed to decode PEM block in the certificate") from None
    return text


_attribute = _matching(_ATTRIBUTE, "takes the name of an attribute: letters, digits and -")
_wait = _between(1, MAX_WAIT)

_CHECKS: Final[dict[str, Callable[[Any], Any]]] = {
    "url": _urls,
    "insecure_tls": _secure,
    "tls_min_version": _one_of(VERSIONS | dict.fromkeys(FORMER, VERSIONS["tls12"])),
    "tls_max_version": _one_of(VERSIONS),
    "certificate": _authorities,
    "userdn": _name,
    "groupdn": _name,
    "userattr": lambda text: _attribute(text).lower(),
    "groupattr": _attribute,
    "userfilter": lambda text: _filter(USER_HOLES)(text or Config().userfilter),
    "groupfilter": _filter(GROUP_HOLES),
    "upndomain": lambda text: text and _matching(_DOMAIN, "takes the name of a domain")(text),
    "dereference_aliases": _one_of(DEREFERENCE),
    "max_page_size": _between(-1, MAX_PAGE),
    "request_timeout": _wait,
    "connection_timeout": _wait,
}


def _read(name: str, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        try:
            return check(value)
        except ValueError as error:
            raise InvalidRequest(f"invalid {name!r}: {error}") from None

    return read


_READS: Final[Reads] = {name: _read(name, check) for name, check in _CHECKS.items()}
_THIS_HOST: Final = frozenset({"127.0.0.1", "::1", "localhost"})
