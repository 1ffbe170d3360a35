"""A new root token, made by a quorum of key holders for whoever holds the one-time password or the PGP key."""

from __future__ import annotations

import base64

from strongroom.core.sealing.bootstrap import root_token
from strongroom.core.sealing.ceremonies import GENERATE, Ceremonies, Ceremony
from strongroom.core.sealing.holders import fingerprints
from strongroom.crypto import pgp
from strongroom.crypto.ids import TOKEN_LENGTH, base62
from strongroom.errors import InvalidRequest


class RootGeneration(Ceremonies):
    """Makings of a root token as one call sees them."""

    def begin(self, otp: str, pgp_key: str = "") -> Ceremony:
        """Begin making a root token. Raises InvalidRequest for a one-time password or PGP key that does not fit."""
        if pgp_key:
            if otp:
                raise InvalidRequest("the token is hidden under a one-time password or encrypted to a PGP key; give one of them")
            known = self.call.once("pgp keys", pgp_key, fn=lambda: fingerprints([pgp_key], 1))
            return self.start(GENERATE, pgp_keys=(pgp_key,), fingerprints=known)
        if otp and len(otp.encode()) != TOKEN_LENGTH:
            raise InvalidRequest(f"OTP string is wrong length: it takes {TOKEN_LENGTH} characters; leave it out to get one")
        return self.start(GENERATE, otp=otp or base62(TOKEN_LENGTH))

    def generate(self, ceremony: Ceremony, text: str) -> str | None:
        """Take a share in; with the last one the new root token, hidden or encrypted. Raises InvalidRequest."""
        if self.give(GENERATE, ceremony, text) is None:
            return None
        token = root_token(self.core, self.call).client_token.reveal()
        self.view.delete(self.key(GENERATE))
        if ceremony.pgp_keys:
            (message,) = pgp.encrypted([token.encode()], ceremony.pgp_keys)
            return base64.b64encode(message).decode()
        return hidden(token, ceremony.otp)


def hidden(token: str, otp: str) -> str:
    """A token XORed with a one-time password of its length, base64 without padding as Vault's clients decode it."""
    mixed = bytes(left ^ right for left, right in zip(token.encode(), otp.encode(), strict=True))
    return base64.b64encode(mixed).decode().rstrip("=")
