"""A new root token, made by a quorum of key holders and hidden under a one-time password.

Rules of this file:
- `sys/generate-root-token/…` takes a token with `sudo` and the shares. The old `sys/generate-root/…` form takes the shares alone, and
  exists only where a listener opens it; elsewhere it answers 405 and leaves no trace.
- The token is shown XORed with the one-time password, or encrypted to a PGP key, so that whoever gives the last share does not learn it.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

import msgspec

from strongroom.core.engine import delete, read, write
from strongroom.core.response import Response
from strongroom.core.sealing.ceremonies import GENERATE, NO_SHARE, Ceremony
from strongroom.core.sealing.root_generation import RootGeneration
from strongroom.core.token.batch import MAX_TEXT
from strongroom.crypto.ids import TOKEN_LENGTH
from strongroom.errors import InvalidRequest
from strongroom.sys.lifecycle import bare
from strongroom.sys.rekey import NonceBody, ShareBody, mirrored
from strongroom.sys.routes import Routes, closed


class AttemptBody(msgspec.Struct, frozen=True):
    """Body of an attempt's start."""

    otp: Annotated[str, "One-time password of the token's length; made and returned where it is left out"] = ""
    pgp_key: Annotated[str, "PGP public key, base64, that the token is encrypted to in the place of a one-time password"] = ""


class DecodeBody(msgspec.Struct, frozen=True):
    """Body of sys/decode-token."""

    encoded_token: str = ""
    otp: str = ""


class GenerateRootRoutes(Routes):
    """A new root token."""

    @read("generate-root-token/attempt", sudo=True)
    def generation_status(self) -> Response:
        """How far the making of a root token has come."""
        return mirrored(_status(RootGeneration(self.core, self.call)))

    @write("generate-root-token/attempt", body=AttemptBody, sudo=True)
    def start_generation(self, body: AttemptBody) -> Response:
        """Begin making a root token."""
        return mirrored(_start(RootGeneration(self.core, self.call), body))

    @delete("generate-root-token/attempt", body=NonceBody, sudo=True)
    def cancel_generation(self, body: NonceBody) -> None:
        """End it; no token is made."""
        RootGeneration(self.core, self.call).cancel(GENERATE, body.nonce)

    @write("generate-root-token/update", body=ShareBody, sudo=True)
    def give_to_generation(self, body: ShareBody) -> Response:
        """Give a key share; the last one brings the token."""
        return mirrored(_give(RootGeneration(self.core, self.call), body))

    @read("generate-root/attempt", public=True)
    def old_generation_status(self) -> Response:
        """How far the making of a root token has come."""
        return bare(_status(self._open_generation()))

    @write("generate-root/attempt", body=AttemptBody, public=True)
    def start_old_generation(self, body: AttemptBody) -> Response:
        """Begin making a root token."""
        return bare(_start(self._open_generation(), body))

    @delete("generate-root/attempt", body=NonceBody, public=True)
    def cancel_old_generation(self, body: NonceBody) -> None:
        """End it; no token is made."""
        self._open_generation().cancel(GENERATE, body.nonce)

    @write("generate-root/update", body=ShareBody, public=True)
    def give_to_old_generation(self, body: ShareBody) -> Response:
        """Give a key share; the last one brings the token."""
        return bare(_give(self._open_generation(), body))

    @write("decode-token", body=DecodeBody, public=True, writes=False)
    def decode_token(self, body: DecodeBody) -> Response:
        """The token that an encoded one and its one-time password give."""
        return Response(data={"token": _decoded(body.encoded_token, body.otp)})

    def _open_generation(self) -> RootGeneration:
        """Raises UnsupportedOperation where no listener opens the old form."""
        opened = "generate-root" in self.call.request.peer.opened
        if not (opened or self.core.settings.open_generate_root or self.core.settings.dev):
            raise closed("disable_unauthed_generate_root_endpoints", "sys/generate-root-token")
        return RootGeneration(self.core, self.call, old_form=True)


def _start(making: RootGeneration, body: AttemptBody) -> dict[str, Any]:
    started = making.begin(body.otp, body.pgp_key)
    return {**_members(making, started), "otp": "" if body.otp else started.otp}


def _status(making: RootGeneration) -> dict[str, Any]:
    return _members(making, making.find(GENERATE))


def _members(making: RootGeneration, found: Ceremony | None) -> dict[str, Any]:
    sets = making.config().authority
    return {
        "nonce": found.nonce if found else "",
        "started": found is not None,
        "progress": len(found.given) if found else 0,
        "required": sets[0].threshold if sets else 0,
        "complete": False,
        "encoded_token": "",
        "encoded_root_token": "",
        "pgp_fingerprint": "".join(found.fingerprints) if found else "",
        "otp": "",
        "otp_length": TOKEN_LENGTH,
    }


def _give(making: RootGeneration, body: ShareBody) -> dict[str, Any]:
    if not body.key:
        raise InvalidRequest(NO_SHARE)
    ceremony = making.require(GENERATE, body.nonce)
    encoded = making.generate(ceremony, body.key)
    if encoded is None:
        return _status(making)
    members = _members(making, ceremony)
    done = {"complete": True, "progress": members["required"], "encoded_token": encoded, "encoded_root_token": encoded, "otp_length": 0}
    return {**members, **done}


def _decoded(encoded: str, otp: str) -> str:
    """Undo core.sealing.root_generation.hidden. Raises InvalidRequest."""
    try:
        if len(otp) > MAX_TEXT or len(encoded) > 2 * MAX_TEXT:
            raise ValueError("longer than any token")
        mixed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        pad = otp.encode()
        if not mixed or len(mixed) != len(pad):
            raise ValueError("lengths differ")
        return bytes(left ^ right for left, right in zip(mixed, pad, strict=True)).decode("ascii")
    except (ValueError, binascii.Error):
        raise InvalidRequest("encoded_token is not base64 of a token, or the one-time password is not the one it was made with") from None
