"""sys/capabilities: what a token may do at some paths.

Rules of this file: the answer is the same Acl's that judges requests. A token that is not good may do nothing, so it is an error.
"""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from strongroom.core.engine import write
from strongroom.core.fields import Names
from strongroom.core.policy.acl import Acl
from strongroom.core.response import Response
from strongroom.core.secret import Secret
from strongroom.errors import InvalidRequest, PermissionDenied, several
from strongroom.sys.routes import Routes

MAX_PATHS = 1_000
"""Paths of one question; each costs a few microseconds."""


class OwnBody(msgspec.Struct, frozen=True):
    """Which paths."""

    paths: Annotated[Names, "paths without /v1/"] = Names()
    path: Annotated[Names, "older name of paths"] = Names()


class SelfBody(OwnBody, frozen=True):
    """Which paths."""

    token: Annotated[str, "not looked at: it is the caller's own that counts"] = ""


class TokenBody(OwnBody, frozen=True):
    """Which paths, for which token."""

    token: Annotated[str, "the token"] = ""


class AccessorBody(OwnBody, frozen=True):
    """Which paths, for the token of which accessor."""

    accessor: Annotated[str, "the token's accessor"] = ""


class CapabilityRoutes(Routes):
    """What tokens may do."""

    @write("capabilities", body=TokenBody, writes=False)
    def capabilities(self, body: TokenBody) -> Response:
        """Say what a token may do at some paths."""
        if not body.token:
            raise InvalidRequest(several("no token found"))
        try:
            token = self.core.tokens.find(self.call.transaction, Secret(body.token))
        except PermissionDenied:
            raise InvalidRequest(several("invalid token")) from None
        return _answer(token.acl, body)

    @write("capabilities-accessor", body=AccessorBody, writes=False)
    def capabilities_of_accessor(self, body: AccessorBody) -> Response:
        """Say what the token of an accessor may do at some paths."""
        if not body.accessor:
            raise InvalidRequest("missing accessor")
        try:
            _, entry = self.core.tokens.by_accessor(self.call.transaction, body.accessor)
            acl = self.core.tokens.acl(self.call.transaction, entry)
        except (InvalidRequest, PermissionDenied):
            raise InvalidRequest(several("invalid accessor")) from None
        return _answer(acl, body)

    @write("capabilities-self", body=SelfBody, writes=False)
    def own_capabilities(self, body: SelfBody) -> Response:
        """Say what the caller may do at some paths."""
        token = self.call.token
        assert token is not None
        return _answer(token.acl, body)


def _answer(acl: Acl, body: OwnBody) -> Response:
    paths = body.paths or body.path
    if not paths:
        raise InvalidRequest("paths must be supplied")
    if len(paths) > MAX_PATHS:
        raise InvalidRequest(f"at most {MAX_PATHS} paths can be asked for at once")
    data: dict[str, Any] = {path: acl.capabilities(path.removeprefix("/")) for path in paths}
    if len(paths) == 1:
        data["capabilities"] = data[paths[0]]
    return Response(data=data, mirror=True)
