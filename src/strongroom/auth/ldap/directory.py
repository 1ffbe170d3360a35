"""The conversation with a directory: is it this person, what is he called there, which groups is he in?

Rules of this file:
- Blocking code, for `call.outside`; all it knows is handed in.
- A user is looked for by the mount's account, or his name is put together from what was typed, escaped. More than one entry is none.
- Somebody who is not found costs the directory a bind like somebody with a wrong password: of an entry that nobody has.
- Groups are all there or the login fails: one that is missing may be the one whose policy denies.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, NoReturn

import msgspec

from strongroom.auth.ldap.config import DEREFERENCE, GROUP_HOLES, USER_HOLES, Config, Server
from strongroom.core.names import subject_name
from strongroom.errors import InvalidRequest
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.ldap.connection import Connection, DirectoryError, InvalidCredentials
from strongroom.outbound.ldap.filters import compile_filter, encode_filter
from strongroom.outbound.ldap.messages import BASE, SUBTREE, Entry, Search
from strongroom.outbound.ldap.names import common_name, escape

Dial = Callable[[str, int, float], socket.socket]
"""Host, port and seconds → a connected socket. Raises OutboundError."""

MAX_TOKEN_GROUPS: Final = 1_015
"""What Active Directory itself allows in a token."""

NOT_ONE: Final = "the directory has not exactly one such user"
NOT_THIS_PASSWORD: Final = "the directory refuses the password"

_ANYTHING: Final = encode_filter(compile_filter("(objectClass=*)", frozenset()), {})
_BY_UPN: Final = compile_filter("(userPrincipalName={{.Username}})", USER_HOLES)
_NO_ATTRIBUTES: Final = ("1.1",)
"""RFC 4511, 4.5.1.8."""


class Refused(Exception):
    """Not this name with this password. `reason` is for the audit log. `found`: there is such an entry, and it is known as `known_as`."""

    def __init__(self, reason: str, *, found: bool = False, known_as: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.found = found
        self.known_as = known_as


class Person(msgspec.Struct, frozen=True):
    """Somebody the directory knows. `alias` names his entity; `groups` and `known_as`, which may be empty, are what his entry says."""

    alias: str
    groups: tuple[str, ...]
    known_as: str = ""


class Directory:
    """A mount's directory, ready to be asked."""

    def __init__(self, config: Config, dial: Dial) -> None:
        self._config = config
        self._dial = dial

    def log_in(self, name: str, password: str) -> Person:
        """Prove a person. Raises Refused and DirectoryError."""
        config = self._config
        with self._connection() as connection:
            entry = self._find(connection, name) if config.searches else None
            try:
                connection.bind(self._bind_name(name, entry), password)
            except InvalidCredentials:
                if config.searches and entry is None:
                    raise Refused(NOT_ONE) from None
                raise Refused(NOT_THIS_PASSWORD, found=entry is not None, known_as=self._known_as(entry)) from None
            if config.searches and entry is None:
                raise Refused(NOT_ONE)
            if config.binddn and config.bindpass:
                self._bind_as_mount(connection)
            return Person(self._alias(name, entry), self._groups(connection, name, entry), self._known_as(entry))

    def look_up(self, name: str) -> Person:
        """What is known of a person without his password. Raises Refused, DirectoryError, and InvalidRequest where that is impossible."""
        if not self._config.searches:
            raise InvalidRequest("the directory cannot be asked without a password: set binddn and bindpass, or discoverdn; not renewing")
        with self._connection() as connection:
            entry = self._find(connection, name)
            if entry is None:
                raise Refused(NOT_ONE)
            return Person(self._alias(name, entry), self._groups(connection, name, entry), self._known_as(entry))

    # -- connecting -------------------------------------------------------------------------------------------------

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """A connection to the first directory that answers."""
        failure = DirectoryError("there is no directory")
        for server in self._config.servers:
            try:
                connection = self._connected(server)
            except DirectoryError as error:
                failure = error
                continue
            try:
                connection.allow(self._config.request_timeout)
                yield connection
            finally:
                connection.close()
            return
        raise failure

    def _connected(self, server: Server) -> Connection:
        config, context = self._config, self._config.context()
        try:
            connection = Connection(self._dial(server.host, server.port, config.connection_timeout), config.connection_timeout)
        except OutboundError as error:
            raise DirectoryError(f"the directory cannot be reached: {error.reason}") from None
        try:
            if server.tls:
                connection.secure(context, server.host)
            elif config.starttls:
                connection.start_tls(context, server.host)
        except DirectoryError:
            connection.close()
            raise
        return connection

    def _bind_as_mount(self, connection: Connection) -> None:
        config = self._config
        if not (config.binddn and config.bindpass):
            connection.bind_anonymously()
            return
        try:
            connection.bind(config.binddn, config.bindpass)
        except InvalidCredentials:
            raise DirectoryError("the directory does not accept binddn with bindpass") from None

    # -- users ------------------------------------------------------------------------------------------------------

    def _find(self, connection: Connection, name: str) -> Entry | None:
        """The one entry of a name."""
        config = self._config
        self._bind_as_mount(connection)
        values = {"UserAttr": config.userattr, "Username": name}
        if config.upndomain:
            values = {"UserAttr": "userPrincipalName", "Username": self._principal(name)}
        wanted = encode_filter(compile_filter(config.userfilter, USER_HOLES), values)
        found = self._search(connection, config.userdn, wanted, (config.userattr,), size_limit=2)
        return found[0] if len(found) == 1 and found[0].name else None

    def _bind_name(self, name: str, entry: Entry | None) -> str:
        """As whom to try the password; as nobody where there is no such user."""
        config = self._config
        if entry is not None:
            return entry.name
        if config.searches:
            return self._below_users(secrets.token_hex(16))
        return self._principal(name) if config.upndomain else self._below_users(name)

    def _below_users(self, name: str) -> str:
        own = f"{self._config.userattr}={escape(name)}"
        return f"{own},{self._config.userdn}" if self._config.userdn else own

    def _principal(self, name: str) -> str:
        return f"{name}@{self._config.upndomain}"

    def _alias(self, name: str, entry: Entry | None) -> str:
        """What a person's entity is found by: the same text however he spells his name. Raises DirectoryError."""
        config = self._config
        if config.username_as_alias:
            return name
        if entry is None:
            return (self._principal(name) if config.upndomain else self._below_users(name)).lower()
        alias = self._known_as(entry)
        if not alias:
            raise DirectoryError("the user's entry has not one userattr in printable ASCII; choose another, or username_as_alias=true")
        return alias

    def _known_as(self, entry: Entry | None) -> str:
        """The value of userattr, under which failures count whatever was typed; nothing where there is not just one of use."""
        values = entry.texts(self._config.userattr) if entry is not None else ()
        with suppress(InvalidRequest):
            return subject_name(values[0]).lower() if len(values) == 1 else ""
        return ""

    # -- groups -----------------------------------------------------------------------------------------------------

    def _groups(self, connection: Connection, name: str, entry: Entry | None) -> tuple[str, ...]:
        """The names of a person's groups; the connection has the rights that are to be used."""
        config = self._config
        own = self._own_name(connection, name, entry)
        if config.anonymous_group_search:
            connection.bind_anonymously()
        if config.use_token_groups:
            found = [common_name(group.name) for group in self._token_groups(connection, own)]
        elif config.groupdn and config.groupfilter:
            wanted = encode_filter(compile_filter(config.groupfilter, GROUP_HOLES), {"UserDN": own, "Username": name})
            page = max(config.max_page_size, 0)
            entries = self._search(connection, config.groupdn, wanted, (config.groupattr,), page_size=page)
            found = [common_name(text) for group in entries for text in group.texts(config.groupattr) or (group.name,)]
        else:
            found = []
        return tuple(sorted(set(found)))

    def _own_name(self, connection: Connection, name: str, entry: Entry | None) -> str:
        """The distinguished name of a person."""
        if entry is not None:
            return entry.name
        if not self._config.upndomain:
            return self._below_users(name)
        wanted = encode_filter(_BY_UPN, {"Username": self._principal(name)})
        found = self._search(connection, self._config.userdn, wanted, _NO_ATTRIBUTES, size_limit=2)
        if len(found) != 1:
            raise DirectoryError("below userdn there is not exactly one entry with the user's userPrincipalName")
        return found[0].name

    def _token_groups(self, connection: Connection, own: str) -> Iterator[Entry]:
        """The groups, nested ones too, that Active Directory works out for an entry."""
        for entry in self._search(connection, own, _ANYTHING, ("tokenGroups",), scope=BASE):
            values = entry.attributes.get("tokengroups", ())
            if len(values) > MAX_TOKEN_GROUPS:
                raise DirectoryError(f"the directory names more than {MAX_TOKEN_GROUPS} groups")
            for value in values:
                yield from self._search(connection, f"<SID={sid_text(value)}>", _ANYTHING, _NO_ATTRIBUTES, scope=BASE)

    def _search(
        self,
        connection: Connection,
        base: str,
        wanted: bytes,
        attributes: tuple[str, ...],
        *,
        scope: int = SUBTREE,
        size_limit: int = 0,
        page_size: int = 0,
    ) -> list[Entry]:
        dereference = DEREFERENCE[self._config.dereference_aliases]
        return connection.search(Search(base, scope, wanted, attributes, dereference, size_limit, page_size))


def sid_text(value: bytes) -> str:
    """A security identifier as Active Directory writes it in names: S-1-5-21-… (MS-DTYP 2.4.2.1). Raises DirectoryError."""
    if len(value) < 8 or len(value) != 8 + 4 * value[1]:
        _no_sid()
    parts = (int.from_bytes(value[at : at + 4], "little") for at in range(8, len(value), 4))
    return "-".join(map(str, ("S", value[0], int.from_bytes(value[2:8], "big"), *parts)))


def _no_sid() -> NoReturn:
    raise DirectoryError("the directory sent something that is no security identifier")
