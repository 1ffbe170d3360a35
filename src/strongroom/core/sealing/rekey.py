"""Rekey: new unseal keys and a new root key under them, or new recovery keys.

Rules of this file:
- Every step is one commit, so after a crash the old set or the new one works. Without verification the old set stays valid beside the
  new one ("superseded") until this process has lived on after its answer, or the new set has opened the store. With verification
  nothing changes before the new shares came back.
- Where PGP keys were given, each share is shown only as a message to its holder's key, and may be kept so.
- A rekey makes a new root key too; the keyring, its wraps and a handover for other processes change in the same commit.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from strongroom.barrier.keyring import HANDOVER_KEY, KEYRING_KEY, SEALS_KEY, handovers, seal_handover, seal_keyring
from strongroom.barrier.seal import Recovery, SealConfig, Wrap, recovery_check, wrapped
from strongroom.barrier.seals.shamir import Shamir
from strongroom.barrier.shares import Split, check_numbers, combined, wipe
from strongroom.barrier.view import decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.sealing.ceremonies import RECOVERY, ROOT, Ceremonies, Ceremony, Pending, Quorum, joined, recognised
from strongroom.core.sealing.holders import fingerprints, handed_out
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest

HANDOVER_KEPT = 600 * SECOND
"""How long other processes may take to follow a change of the root key; they follow within milliseconds when they are there at all."""
HANDOVERS = 64
"""Rekeys within that time that an idle process can still follow, which it does within a second: the row must not grow for ever."""
SETTLE_AFTER = 5 * SECOND
"""An answer that has not left the process by then never will."""
SETTLE_AGAIN = 3_600 * SECOND


class SettleJob(msgspec.Struct, frozen=True):
    """End the set that `successor` supersedes, if the process `boot` still lives or the successor was used."""

    boot: bytes
    successor: bytes


class HandoverJob(msgspec.Struct, frozen=True):
    """Remove a handover; later ones stay until their own time."""

    payload: bytes

    def __repr__(self) -> str:
        return "HandoverJob()"


class Backup(msgspec.Struct, frozen=True):
    """Encrypted shares of a rekey that their holders may fetch again, each under the fingerprint of the key that it is for."""

    nonce: str
    shares: tuple[tuple[str, bytes], ...]


class Rekeyed(NamedTuple):
    """What the last share of a rekey brought: new shares to show once, and the nonce of their verification if asked for.

    Where `fingerprints` are, the shares are PGP messages, each for the key of that fingerprint.
    """

    shares: list[bytes]
    verification_nonce: str
    fingerprints: list[str]

    def __repr__(self) -> str:
        return f"Rekeyed({len(self.shares)} shares)"


class Rekey(Ceremonies):
    """Rekeys as one call sees them."""

    def begin(
        self, name: str, shares: int, threshold: int, *, verify: bool, pgp_keys: tuple[str, ...] = (), backup: bool = False
    ) -> Ceremony:
        """Begin a rekey. Raises InvalidRequest for numbers, PGP keys or a target that do not fit the seal."""
        self.require_supported(name)
        config = self.config()
        if name == ROOT and not config.unseal_sets:
            if verify or pgp_keys:
                raise InvalidRequest("requiring verification, and PGP keys, are not supported: this seal hands out no shares")
            return self.start(name, shares=0, threshold=0, verify=False)
        try:
            check_numbers(shares, threshold)
            known = self.call.once("pgp keys", *pgp_keys, fn=lambda: fingerprints(pgp_keys, shares)) if pgp_keys else ()
        except InvalidRequest as error:
            raise InvalidRequest(f"invalid rekey seal configuration: {error.messages[0]}") from None
        fields = {"pgp_keys": pgp_keys, "fingerprints": known, "backup": backup}
        return self.start(name, shares=shares, threshold=threshold, verify=verify, **fields)

    def require_supported(self, name: str) -> None:
        """Raises InvalidRequest for recovery keys where key shares open the store."""
        if name == RECOVERY and self.config().unseal_sets:
            raise InvalidRequest("recovery rekeying not supported: this store is opened by key shares")

    def advance(self, name: str, ceremony: Ceremony, text: str, split: Callable[[], Split]) -> Rekeyed | None:
        """Take a share of the present set in; with the last one the new shares are made. Raises InvalidRequest."""
        if ceremony.pending is not None:
            raise InvalidRequest("the new keys were handed out already; give them to verify, or cancel")
        quorum = self.give(name, ceremony, text)
        if quorum is None:
            return None
        fresh = self.call.once("split", ceremony.nonce, fn=split) if ceremony.shares else None
        shown = self._handed_out(name, ceremony, fresh.shares if fresh is not None else [])
        if fresh is not None and ceremony.verify:
            pending = Pending(uuid4_text(), fresh.share_set, recovery_check(fresh.key, self.core.barrier.keys.installation))
            self.view.put(self.key(name), msgspec.structs.replace(ceremony, given=(), pending=pending))
            return shown._replace(verification_nonce=pending.nonce)
        new = Quorum(fresh.share_set, fresh.key) if fresh is not None else None
        self._install(name, new, old=quorum if fresh is not None else None)
        self.view.delete(self.key(name))
        return shown

    def _handed_out(self, name: str, ceremony: Ceremony, shares: list[bytes]) -> Rekeyed:
        """The shares as their holders get them, and their backup where one was asked for; nothing is changed before that is done."""
        if not ceremony.pgp_keys or not shares:
            return Rekeyed(shares, "", [])
        made = self.call.once("encrypt", ceremony.nonce, fn=lambda: handed_out(shares, ceremony.pgp_keys))
        if ceremony.backup:
            self.view.put(_backup_key(name), Backup(ceremony.nonce, tuple(zip(ceremony.fingerprints, made, strict=True))))
        return Rekeyed(made, "", list(ceremony.fingerprints))

    def backup(self, name: str) -> Backup | None:
        """The encrypted shares of the last rekey that kept them."""
        return self.view.get(_backup_key(name), Backup)

    def drop_backup(self, name: str) -> None:
        """Keep them no more."""
        self.view.delete(_backup_key(name))

    def verify(self, name: str, nonce: str, text: str) -> Pending | None:
        """Take a new share back; with the last one the new set replaces the old one. None when it has. Raises InvalidRequest."""
        ceremony, pending = self.require_pending(name)
        if not hmac.compare_digest(pending.nonce.encode(), nonce.encode()):
            raise InvalidRequest(f'incorrect nonce supplied; nonce for this verify operation is "{pending.nonce}"')
        share, share_set = recognised(text, [pending.share_set])
        given = joined(pending.given, share)
        if len(given) < share_set.threshold:
            pending = msgspec.structs.replace(pending, given=given)
            self.view.put(self.key(name), msgspec.structs.replace(ceremony, pending=pending))
            return pending
        key = self.call.once("combine", given, fn=lambda: combined(given))
        if not hmac.compare_digest(recovery_check(key, self.core.barrier.keys.installation), pending.check):
            raise InvalidRequest("the new keys do not combine to what was made; cancel and begin again")
        self._install(name, Quorum(share_set, key), old=None)
        self.view.delete(self.key(name))
        return None

    def require_pending(self, name: str) -> tuple[Ceremony, Pending]:
        """A rekey whose new shares have to come back. Raises InvalidRequest."""
        ceremony = self.find(name)
        if ceremony is None or ceremony.pending is None:
            raise InvalidRequest("no rekey configuration found")
        return ceremony, ceremony.pending

    def restart_verification(self, name: str) -> Pending:
        """Forget the new shares that came back so far."""
        ceremony, pending = self.require_pending(name)
        pending = msgspec.structs.replace(pending, nonce=uuid4_text(), given=())
        self.view.put(self.key(name), msgspec.structs.replace(ceremony, pending=pending))
        return pending

    def _install(self, name: str, new: Quorum | None, old: Quorum | None) -> None:
        """Stage the new set. `old` stays valid beside it until it is surely known; without it the old set ends in this commit."""
        config, keys = self.config(), self.core.barrier.keys
        if name == RECOVERY:
            assert new is not None
            kept = [
                msgspec.structs.replace(part, superseded=True) for part in config.recoveries if old and part.share_set.same(old.share_set)
            ]
            fresh = Recovery(new.share_set, recovery_check(new.key, keys.installation))
            self._put_config(SealConfig(config.wraps, (fresh, *kept)), keys.root)
        else:
            root = bytearray(secrets.token_bytes(32))
            self._put_config(SealConfig(self._wraps(config, root, new, old), config.recoveries), root)
            self._change_root(root)
            wipe(root)
        if new is not None and old is not None:
            job = SettleJob(self.core.sealing.boot, new.share_set.id)
            self.view.at(self.transaction.now + SETTLE_AFTER, "settle", job)

    def _wraps(self, config: SealConfig, root: bytearray, new: Quorum | None, old: Quorum | None) -> tuple[Wrap, ...]:
        """A root key under every seal of a configuration. Raises InvalidRequest for a seal that this server is not configured with."""
        installation = self.core.barrier.keys.installation
        wraps = []
        if new is not None:
            wraps.append(wrapped(Shamir(new.key), root, installation, new.share_set))
        if old is not None:
            wraps.append(msgspec.structs.replace(wrapped(Shamir(old.key), root, installation, old.share_set), superseded=True))
        for wrap in config.wraps:
            if wrap.share_set is None:
                seal = next((seal for seal in self.core.sealing.seals if seal.kind == wrap.kind), None)
                if seal is None:
                    raise InvalidRequest(
                        f"the root key is also wrapped by the seal {wrap.kind!r}, which is not configured here; add its stanza"
                    )
                wraps.append(wrapped(seal, root, installation))
        return tuple(wraps)

    def _put_config(self, config: SealConfig, root: bytearray) -> None:
        self.transaction.put(SEALS_KEY, config.signed(root, self.core.barrier.keys.installation), charge=False)

    def _change_root(self, root: bytearray) -> None:
        keys = self.core.barrier.keys
        handover = seal_handover(keys.root, root, keys.installation)
        row = (self.transaction.get(HANDOVER_KEY) or b"") + handover
        self.transaction.put(HANDOVER_KEY, b"".join(handovers(row)[-HANDOVERS:]), charge=False)
        self.transaction.put(KEYRING_KEY, seal_keyring(root, keys.keyring, keys.installation), charge=False)
        self.view.at(self.transaction.now + HANDOVER_KEPT, "handover", HandoverJob(handover))


def _backup_key(name: str) -> str:
    return f"backup/{name}"


def settle_due(core: Core, call: Call, payload: bytes) -> None:
    """End superseded sets once their successors are surely known: the process lived on after answering, or was opened by the new one."""
    job = decoder(SettleJob).decode(payload)
    config = Rekey(core, call).config()
    settled = config.settled()
    if not config.overlapping or all(share_set.id != job.successor for share_set in settled.unseal_sets + settled.recovery_sets):
        return
    if job.successor in core.sealing.used or core.sealing.lives(job.boot):
        call.transaction.put(SEALS_KEY, settled.signed(core.barrier.keys.root, core.barrier.keys.installation), charge=False)
    else:
        call.transaction.view(areas.CEREMONIES).at(call.transaction.now + SETTLE_AGAIN, "settle", job)


def handover_due(_core: Core, call: Call, payload: bytes) -> None:
    """Remove a handover that served its time."""
    job = decoder(HandoverJob).decode(payload)
    stored = call.transaction.get(HANDOVER_KEY)
    if stored is not None:
        left = b"".join(each for each in handovers(stored) if not hmac.compare_digest(each, job.payload))
        call.transaction.put(HANDOVER_KEY, left or None, charge=False)
