"""Rekey: new key shares and a new root key (`rotate/root`), new recovery shares (`rotate/recovery`).

Rules of this file:
- `sys/rotate/…` takes a token with `sudo` and the shares. The old `sys/rekey…` forms take the shares alone, and exist only where a
  listener opens them; elsewhere they answer 405 and leave no trace.
- Answers are Vault's: bare objects on the old forms, mirrored envelopes on the new ones.
- The rules of a rekey are in core/sealing/rekey.py.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import msgspec

from strongroom.barrier.shares import split_new_key
from strongroom.core.engine import delete, read, write
from strongroom.core.fields import Names
from strongroom.core.response import Response
from strongroom.core.sealing.ceremonies import NO_SHARE, RECOVERY, ROOT, Ceremony, Pending
from strongroom.core.sealing.rekey import Rekey
from strongroom.errors import InvalidRequest, NotFound
from strongroom.sys.lifecycle import bare, key_members
from strongroom.sys.routes import Routes, closed


class RekeyBody(msgspec.Struct, frozen=True):
    """Body of a rekey's start."""

    secret_shares: Annotated[int, "Number of new shares"] = 0
    secret_threshold: Annotated[int, "New shares needed together"] = 0
    pgp_keys: Annotated[Names, "PGP public keys, base64, one a share: each share is encrypted to its own"] = Names()
    backup: Annotated[bool, "Keep the encrypted shares, to be fetched again"] = False
    require_verification: Annotated[bool, "Nothing changes before the new shares were given back"] = False


class ShareBody(msgspec.Struct, frozen=True):
    """One share for a ceremony."""

    key: Annotated[str, "One key share, hex or base64"] = ""
    nonce: Annotated[str, "The ceremony's nonce"] = ""


class NonceBody(msgspec.Struct, frozen=True):
    """Body or query of a cancellation."""

    nonce: Annotated[str, "The ceremony's nonce; needed once shares were given to an unauthenticated one"] = ""


class RekeyRoutes(Routes):
    """New key shares, in a ceremony of their holders."""

    # -- with a token -------------------------------------------------------------------------------------------

    @read("rotate/{target}/init", sudo=True)
    def rotation_status(self, target: str) -> Response:
        """How far a rekey has come."""
        return mirrored(_status(self._new_form(), _target(target)))

    @write("rotate/{target}/init", body=RekeyBody, sudo=True)
    def start_rotation(self, target: str, body: RekeyBody) -> Response:
        """Begin a rekey."""
        return mirrored(_start(self._new_form(), _target(target), body))

    @delete("rotate/{target}/init", body=NonceBody, sudo=True)
    def cancel_rotation(self, target: str, body: NonceBody) -> None:
        """End a rekey; the present shares stay."""
        self._new_form().cancel(_target(target), body.nonce)

    @write("rotate/{target}/update", body=ShareBody, sudo=True)
    def give_to_rotation(self, target: str, body: ShareBody) -> Response:
        """Give a present share; the last one brings the new shares."""
        return mirrored(_give(self._new_form(), _target(target), body))

    @read("rotate/{target}/verify", sudo=True)
    def rotation_verification(self, target: str) -> Response:
        """How many new shares came back."""
        return mirrored(_verification(self._new_form().require_pending(_target(target))[1]))

    @write("rotate/{target}/verify", body=ShareBody, sudo=True)
    def verify_rotation(self, target: str, body: ShareBody) -> Response:
        """Give a new share back; the last one makes the new shares count."""
        return mirrored(_verify(self._new_form(), _target(target), body))

    @delete("rotate/{target}/verify", sudo=True)
    def restart_rotation_verification(self, target: str) -> Response:
        """Forget the new shares that came back, under a new nonce."""
        return mirrored(_verification(self._new_form().restart_verification(_target(target))))

    @read("rotate/{target}/backup", sudo=True)
    def rotation_backup(self, target: str) -> Response:
        """The PGP-encrypted shares of the last rekey that kept them."""
        return mirrored(_backup(self._new_form(), _target(target)))

    @delete("rotate/{target}/backup", sudo=True)
    def delete_rotation_backup(self, target: str) -> None:
        """Keep PGP-encrypted shares no more."""
        self._new_form().drop_backup(_target(target))

    # -- the old forms, by shares alone -------------------------------------------------------------------------

    @read("rekey/init", public=True)
    @read("rekey-recovery-key/init", public=True)
    def rekey_status(self) -> Response:
        """How far a rekey has come."""
        return bare(_status(self._old_form(), self._old_target()))

    @write("rekey/init", body=RekeyBody, public=True)
    @write("rekey-recovery-key/init", body=RekeyBody, public=True)
    def start_rekey(self, body: RekeyBody) -> Response:
        """Begin a rekey."""
        return bare(_start(self._old_form(), self._old_target(), body))

    @delete("rekey/init", body=NonceBody, public=True)
    @delete("rekey-recovery-key/init", body=NonceBody, public=True)
    def cancel_rekey(self, body: NonceBody) -> None:
        """End a rekey; the present shares stay."""
        self._old_form().cancel(self._old_target(), body.nonce)

    @write("rekey/update", body=ShareBody, public=True)
    @write("rekey-recovery-key/update", body=ShareBody, public=True)
    def give_to_rekey(self, body: ShareBody) -> Response:
        """Give a present share; the last one brings the new shares."""
        return bare(_give(self._old_form(), self._old_target(), body))

    @read("rekey/verify", public=True)
    @read("rekey-recovery-key/verify", public=True)
    def rekey_verification(self) -> Response:
        """How many new shares came back."""
        return bare(_verification(self._old_form().require_pending(self._old_target())[1]))

    @write("rekey/verify", body=ShareBody, public=True)
    @write("rekey-recovery-key/verify", body=ShareBody, public=True)
    def verify_rekey(self, body: ShareBody) -> Response:
        """Give a new share back; the last one makes the new shares count."""
        return bare(_verify(self._old_form(), self._old_target(), body))

    @delete("rekey/verify", public=True)
    @delete("rekey-recovery-key/verify", public=True)
    def restart_rekey_verification(self) -> Response:
        """Forget the new shares that came back, under a new nonce."""
        return bare(_verification(self._old_form().restart_verification(self._old_target())))

    @read("rekey/backup", sudo=True)
    @read("rekey/recovery-key-backup", sudo=True)
    @read("rekey-recovery-key/backup", sudo=True)
    def rekey_backup(self) -> Response:
        """The PGP-encrypted shares of the last rekey that kept them."""
        return mirrored(_backup(self._new_form(), self._old_target()))

    @delete("rekey/backup", sudo=True)
    @delete("rekey/recovery-key-backup", sudo=True)
    @delete("rekey-recovery-key/backup", sudo=True)
    def delete_rekey_backup(self) -> None:
        """Keep PGP-encrypted shares no more."""
        self._new_form().drop_backup(self._old_target())

    def _new_form(self) -> Rekey:
        return Rekey(self.core, self.call)

    def _old_form(self) -> Rekey:
        """Raises UnsupportedOperation where no listener opens the old forms."""
        opened = "rekey" in self.call.request.peer.opened
        if not (opened or self.core.settings.open_rekey or self.core.settings.dev):
            raise closed("disable_unauthed_rekey_endpoints", "sys/rotate/root and sys/rotate/recovery")
        return Rekey(self.core, self.call, old_form=True)

    def _old_target(self) -> str:
        return RECOVERY if "recovery-key" in self.call.request.path else ROOT


def mirrored(members: Mapping[str, Any]) -> Response:
    """An envelope whose members stand at the top too."""
    return Response(data=members, mirror=True)


def _target(name: str) -> str:
    if name not in (ROOT, RECOVERY):
        raise NotFound(f"there is nothing to rotate named {name!r}; it is root or recovery")
    return name


def _backup(rekey: Rekey, name: str) -> dict[str, Any]:
    found = rekey.backup(name)
    if found is None:
        raise InvalidRequest("no backed-up keys found")
    by_key: dict[str, list[bytes]] = {}
    for fingerprint, message in found.shares:
        by_key.setdefault(fingerprint, []).append(message)
    return {
        "nonce": found.nonce,
        "keys": {fingerprint: [message.hex() for message in messages] for fingerprint, messages in by_key.items()},
        "keys_base64": {fingerprint: [base64.b64encode(each).decode() for each in messages] for fingerprint, messages in by_key.items()},
    }


def _start(rekey: Rekey, name: str, body: RekeyBody) -> dict[str, Any]:
    if body.backup and not body.pgp_keys:
        raise InvalidRequest("cannot request a backup of the new keys without providing PGP keys for encryption")
    if body.secret_threshold > body.secret_shares > 0:
        raise InvalidRequest("provided threshold greater than the total shares")
    started = rekey.begin(
        name,
        body.secret_shares,
        body.secret_threshold,
        verify=body.require_verification,
        pgp_keys=tuple(body.pgp_keys),
        backup=body.backup,
    )
    return _members(rekey, started)


def _status(rekey: Rekey, name: str) -> dict[str, Any]:
    rekey.require_supported(name)
    return _members(rekey, rekey.find(name))


def _members(rekey: Rekey, found: Ceremony | None) -> dict[str, Any]:
    sets = rekey.config().authority
    members: dict[str, Any] = {
        "nonce": found.nonce if found else "",
        "started": found is not None,
        "t": found.threshold if found else 0,
        "n": found.shares if found else 0,
        "progress": len(found.given) if found else 0,
        "required": sets[0].threshold if sets else 0,
        "pgp_fingerprints": list(found.fingerprints) if found and found.fingerprints else None,
        "backup": bool(found and found.backup),
        "verification_required": bool(found and found.verify),
    }
    if found is not None and found.pending is not None:
        members["verification_nonce"] = found.pending.nonce
    return members


def _give(rekey: Rekey, name: str, body: ShareBody) -> dict[str, Any]:
    if not body.key:
        raise InvalidRequest(NO_SHARE)
    ceremony = rekey.require(name, body.nonce)
    done = rekey.advance(name, ceremony, body.key, partial(split_new_key, ceremony.shares, ceremony.threshold))
    if done is None:
        return _status(rekey, name)
    members: dict[str, Any] = {"nonce": ceremony.nonce, "complete": True, **key_members(done.shares)}
    members |= {
        "pgp_fingerprints": done.fingerprints or None,
        "backup": ceremony.backup,
        "verification_required": bool(done.verification_nonce),
    }
    if done.verification_nonce:
        members["verification_nonce"] = done.verification_nonce
    return members


def _verification(pending: Pending) -> dict[str, Any]:
    return {
        "nonce": pending.nonce,
        "started": True,
        "t": pending.share_set.threshold,
        "n": pending.share_set.shares,
        "progress": len(pending.given),
    }


def _verify(rekey: Rekey, name: str, body: ShareBody) -> dict[str, Any]:
    left = rekey.verify(name, body.nonce, body.key)
    return {"nonce": body.nonce, "complete": True} if left is None else {**_verification(left), "complete": False}
