"""sys/wrapping: passing a secret on in an envelope that can be opened once.

Rules of this file:
- `unwrap` takes the wrapping token as the caller's own or in the body. As the caller's own it is no token to log in with: it is judged
  here and nowhere else, so that unknown, used and expired ones answer the same.
- In the body it needs a caller with a right to this path, like any other route.
- What was wrapped comes back byte for byte.
"""

from __future__ import annotations

import hmac
from typing import Annotated

import msgspec

from strongroom.clock import rfc3339
from strongroom.core.engine import read, write
from strongroom.core.response import Bare, Json, Response
from strongroom.core.secret import Secret
from strongroom.core.wrapping import INVALID
from strongroom.errors import Forbidden, InvalidRequest, PermissionDenied
from strongroom.sys.routes import Routes


class WrappedBody(msgspec.Struct, frozen=True):
    """A wrapping token."""

    token: Annotated[str, "The wrapping token; the caller's own where it is not given."] = ""


class WrappingRoutes(Routes):
    """Response wrapping."""

    @write("wrapping/wrap", unchecked=True)
    def wrap(self) -> Response:
        """Wrap the body of this request; X-Vault-Wrap-TTL says for how long."""
        if not self.call.request.wrap_ttl:
            raise InvalidRequest("endpoint requires response wrapping to be used: send X-Vault-Wrap-TTL")
        return Response(data=Json(self.call.request.raw or b"{}"))

    @write("wrapping/unwrap", body=WrappedBody, public=True)
    def unwrap(self, body: WrappedBody) -> Response:
        """Take out what was wrapped. A wrapping token opens once."""
        _, wrapped = self.core.wrapping.open(self.call.transaction, self._opened(body.token))
        return Response(bare=Bare(wrapped.body))

    def _opened(self, given: str) -> Secret:
        """The wrapping token that is meant, once it is clear that the caller may open it."""
        request, transaction = self.call.request, self.call.transaction
        if not request.credential:
            if not given:
                raise Forbidden("error validating wrapping token: token is empty")
            self.core.wrapping.find(transaction, Secret(given))  # says no more than a look-up, which asks for no token either
            raise PermissionDenied
        own = request.credential.reveal()
        if not given or hmac.compare_digest(given.encode(), own.encode()):
            return request.credential
        token = self.core.tokens.authenticate(transaction, request.credential, request.peer)
        token.acl.check(self.call.operation, request.path, request.data, request.wrap_ttl)
        return Secret(given)

    @write("wrapping/lookup", body=WrappedBody, public=True, writes=False)
    def lookup(self, body: WrappedBody) -> Response:
        """Show when, for how long and from which path something was wrapped; it stays wrapped."""
        _, _, wrapped = self.core.wrapping.find(self.call.transaction, self._meant(body.token))
        return Response(
            data={"creation_ttl": wrapped.ttl, "creation_time": rfc3339(wrapped.created), "creation_path": wrapped.path},
        )

    @read("wrapping/lookup", public=True)
    def lookup_own(self) -> Response:
        """Show when, for how long and from which path the caller's wrapping token was made."""
        return self.lookup(WrappedBody())

    @write("wrapping/rewrap", body=WrappedBody)
    def rewrap(self, body: WrappedBody) -> Response:
        """Put what was wrapped in a new envelope of the same lifetime and origin; the old one opens no more."""
        _, wrapped = self.core.wrapping.open(self.call.transaction, self._meant(body.token))
        return Response(wrap=self.core.wrapping.wrap(self.call.transaction, wrapped.body, wrapped.path, wrapped.ttl, wrapped.accessor))

    def _meant(self, given: str) -> Secret:
        token = Secret(given) if given else self.call.request.credential
        if not token:
            raise InvalidRequest(INVALID)
        return token
