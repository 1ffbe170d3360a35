"""Ceremonies: what several key holders do together while the server is open. Rekey, new recovery keys, a new root token.

Rules of this file:
- State lies in the store, sealed like any row: a ceremony goes on after a restart and on any node. Shares that were given lie there
  too until the quorum is met, under keys that the same shares protect.
- One ceremony per name. Those of the old unauthenticated routes have names of their own, so they never block or cancel the others.
- What is no share of the set in force is refused at once and changes nothing. When the quorum is met the round ends, well or not.
- Every step is one commit, so after a crash the old set or the new one works. Without verification the old set stays valid beside the
  new one ("superseded") until this process has lived on after its answer, or the new set has opened the store. With verification
  nothing changes before the new shares came back.
- A rekey makes a new root key too; the keyring, its wraps and a handover for other processes change in the same commit.
"""

from __future__ import annotations

import base64
import hmac
import secrets
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from strongroom.barrier.keyring import HANDOVER_KEY, KEYRING_KEY, SEALS_KEY, seal_handover, seal_keyring
from strongroom.barrier.seal import Recovery, SealConfig, Wrap, decoded_config, recovery_check, unwrapped, wrapped
from strongroom.barrier.seals.shamir import Shamir
from strongroom.barrier.shares import ShareSet, Split, check_numbers, combined, parse_share, set_of, wipe
from strongroom.barrier.view import View, decoder
from strongroom.clock import SECOND
from strongroom.core import areas
from strongroom.core.core import Core
from strongroom.core.request import Call
from strongroom.core.sealing.bootstrap import root_token
from strongroom.core.sealing.rotation import refuse_second_change
from strongroom.core.sealing.unsealing import INVALID_KEY, require_recovery
from strongroom.core.transaction import Transaction
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.ids import TOKEN_LENGTH, base62, uuid4_text
from strongroom.errors import InvalidRequest, StorageTampered

ROOT, RECOVERY, GENERATE = "root", "recovery", "generate"
HANDOVER_KEPT = 600 * SECOND
"""How long other processes may take to follow a change of the root key; they follow within milliseconds when they are there at all."""
SETTLE_AFTER = 5 * SECOND
"""An answer that has not left the process by then never will."""
SETTLE_AGAIN = 3_600 * SECOND

TEXTS = {ROOT: "rekey", RECOVERY: "recovery rekey", GENERATE: "root generation"}


class Pending(msgspec.Struct, frozen=True):
    """New shares that were handed out and have to come back before they count."""

    nonce: str
    share_set: ShareSet
    check: bytes
    given: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Pending({self.share_set.threshold} of {self.share_set.shares})"


class Ceremony(msgspec.Struct, frozen=True):
    """What is stored of one under way. `shares`, `threshold` and `verify` are of the new set, `otp` of a new root token."""

    nonce: str
    shares: int = 0
    threshold: int = 0
    verify: bool = False
    otp: str = ""
    given: tuple[bytes, ...] = ()
    pending: Pending | None = None

    def __repr__(self) -> str:
        return f"Ceremony({self.nonce}, {len(self.given)} shares)"


class SettleJob(msgspec.Struct, frozen=True):
    """End the set that `successor` supersedes, if the process `boot` still lives or the successor was used."""

    boot: bytes
    successor: bytes


class HandoverJob(msgspec.Struct, frozen=True):
    """Remove a handover, unless a later one took its place."""

    payload: bytes

    def __repr__(self) -> str:
        return "HandoverJob()"


class Quorum(NamedTuple):
    """Enough holders of one set came together: the set, and the key that its shares gave."""

    share_set: ShareSet
    key: bytearray

    def __repr__(self) -> str:
        return f"Quorum({self.share_set.threshold} of {self.share_set.shares})"


class Rekeyed(NamedTuple):
    """What the last share of a rekey brought: new shares to show once, and the nonce of their verification if asked for."""

    shares: list[bytes]
    verification_nonce: str

    def __repr__(self) -> str:
        return f"Rekeyed({len(self.shares)} shares)"


class Ceremonies:
    """The ceremonies as one call sees them. `old_form`: came by the unauthenticated routes."""

    def __init__(self, core: Core, call: Call, *, old_form: bool = False) -> None:
        self.core = core
        self.call = call
        self.transaction: Transaction = call.transaction
        self.old_form = old_form
        self._view: View = call.transaction.view(areas.CEREMONIES)

    # -- state --------------------------------------------------------------------------------------------------

    def config(self) -> SealConfig:
        """The seal configuration, proven to be the one that was signed. Raises StorageTampered."""
        refuse_second_change(self.transaction)
        keys, payload = self.core.barrier.keys, self.transaction.get(SEALS_KEY)
        if payload is None:
            raise StorageTampered("the seal configuration")
        config = decoded_config(payload)
        config.authenticate(keys.root, keys.installation)
        return config

    def find(self, name: str) -> Ceremony | None:
        """The ceremony under way."""
        return self._view.get(self._key(name), Ceremony)

    def _key(self, name: str) -> str:
        return f"open/{name}" if self.old_form else name

    def require(self, name: str, nonce: str) -> Ceremony:
        """The ceremony with this nonce. Raises InvalidRequest."""
        found = self.find(name)
        if found is None:
            raise InvalidRequest(f"no {TEXTS[name]} in progress")
        if not hmac.compare_digest(found.nonce.encode(), nonce.encode()):
            raise InvalidRequest(f"incorrect nonce supplied; nonce for this {TEXTS[name]} operation is {found.nonce!r}")
        return found

    def start(self, name: str, **fields: Any) -> Ceremony:
        """Begin one. Raises InvalidRequest when there is one already."""
        if self.find(name) is not None:
            raise InvalidRequest(f"{TEXTS[name]} already in progress")
        fresh = Ceremony(uuid4_text(), **fields)
        self._view.put(self._key(name), fresh)
        return fresh

    def cancel(self, name: str, nonce: str = "") -> None:
        """End one. An old-form one that holds shares is ended only by who knows its nonce. Raises InvalidRequest."""
        found = self.find(name)
        if found is None:
            return
        guarded = self.old_form and (found.given or found.pending is not None)
        if (nonce or guarded) and not hmac.compare_digest(found.nonce.encode(), nonce.encode()):
            raise InvalidRequest(f"incorrect nonce supplied; cancelling a {TEXTS[name]} that has begun takes its nonce")
        self._view.delete(self._key(name))

    # -- shares -------------------------------------------------------------------------------------------------

    def give(self, name: str, ceremony: Ceremony, text: str) -> Quorum | None:
        """Take a share in; the quorum once it is met. Raises InvalidRequest, and then the share was not counted."""
        sets = self.config().authority
        if not sets:
            raise InvalidRequest("this installation has no key shares that could authorise; it was made without recovery keys")
        share, share_set = _recognised(text, sets)
        given = _of_set(ceremony.given, share_set)
        if len(given) < len(ceremony.given) and any(_stands(known, sets) for known in ceremony.given):
            raise InvalidRequest("this key share is of another set than those given before; cancel and begin with shares of one set")
        given = _joined(given, share)
        if len(given) < share_set.threshold:
            self._view.put(self._key(name), msgspec.structs.replace(ceremony, given=given))
            return None
        self._end_round(name, ceremony)
        quorum = Quorum(share_set, self.call.once("combine", given, fn=lambda: combined(given)))
        self._prove(quorum)
        return quorum

    def _end_round(self, name: str, ceremony: Ceremony) -> None:
        """Whatever comes of the quorum, its shares are forgotten."""
        self._view.charge().put(self._key(name), msgspec.structs.replace(ceremony, given=()))

    def _prove(self, quorum: Quorum) -> None:
        """Raises InvalidRequest unless the key opens the root key, or is the recovery key."""
        config, keys = self.config(), self.core.barrier.keys
        wrap = next((wrap for wrap in config.wraps if quorum.share_set.same(wrap.share_set)), None)
        if wrap is None:
            require_recovery(self.core, config, quorum.share_set, quorum.key)
            self.core.sealing.used.add(quorum.share_set.id)
            return
        try:
            root = unwrapped(Shamir(quorum.key), wrap, keys.installation)
        except InvalidRecord:
            raise InvalidRequest(INVALID_KEY.replace("Unseal failed", "the shares were refused")) from None
        proven = hmac.compare_digest(root, keys.root)
        wipe(root)
        if not proven:
            raise InvalidRequest("the shares were refused: they open another root key than the one in use")
        self.core.sealing.used.add(quorum.share_set.id)

    # -- rekey --------------------------------------------------------------------------------------------------

    def start_rekey(self, name: str, shares: int, threshold: int, *, verify: bool) -> Ceremony:
        """Begin a rekey. Raises InvalidRequest for numbers or a target that do not fit the seal."""
        self.require_supported(name)
        config = self.config()
        if name == ROOT and not config.unseal_sets:
            if verify:
                raise InvalidRequest("requiring verification not supported: this seal hands out no shares")
            return self.start(name, shares=0, threshold=0, verify=False)
        try:
            check_numbers(shares, threshold)
        except InvalidRequest as error:
            raise InvalidRequest(f"invalid rekey seal configuration: {error.messages[0]}") from None
        return self.start(name, shares=shares, threshold=threshold, verify=verify)

    def require_supported(self, name: str) -> None:
        """Raises InvalidRequest for recovery keys where key shares open the store."""
        if name == RECOVERY and self.config().unseal_sets:
            raise InvalidRequest("recovery rekeying not supported: this store is opened by key shares")

    def rekey(self, name: str, ceremony: Ceremony, text: str, split: Callable[[], Split]) -> Rekeyed | None:
        """Take a share of the present set in; with the last one the new shares are made. Raises InvalidRequest."""
        if ceremony.pending is not None:
            raise InvalidRequest("the new keys were handed out already; give them to verify, or cancel")
        quorum = self.give(name, ceremony, text)
        if quorum is None:
            return None
        fresh = self.call.once("split", ceremony.nonce, fn=split) if ceremony.shares else None
        if fresh is not None and ceremony.verify:
            pending = Pending(uuid4_text(), fresh.share_set, recovery_check(fresh.key, self.core.barrier.keys.installation))
            self._view.put(self._key(name), msgspec.structs.replace(ceremony, given=(), pending=pending))
            return Rekeyed(fresh.shares, pending.nonce)
        new = Quorum(fresh.share_set, fresh.key) if fresh is not None else None
        self._install(name, new, old=quorum if fresh is not None else None)
        self._view.delete(self._key(name))
        return Rekeyed(fresh.shares if fresh is not None else [], "")

    def verify(self, name: str, nonce: str, text: str) -> Pending | None:
        """Take a new share back; with the last one the new set replaces the old one. None when it has. Raises InvalidRequest."""
        ceremony, pending = self.require_pending(name)
        if not hmac.compare_digest(pending.nonce.encode(), nonce.encode()):
            raise InvalidRequest(f"incorrect nonce supplied; nonce for this verify operation is {pending.nonce!r}")
        share, share_set = _recognised(text, [pending.share_set])
        given = _joined(pending.given, share)
        if len(given) < share_set.threshold:
            pending = msgspec.structs.replace(pending, given=given)
            self._view.put(self._key(name), msgspec.structs.replace(ceremony, pending=pending))
            return pending
        key = self.call.once("combine", given, fn=lambda: combined(given))
        if not hmac.compare_digest(recovery_check(key, self.core.barrier.keys.installation), pending.check):
            raise InvalidRequest("the new keys do not combine to what was made; cancel and begin again")
        self._install(name, Quorum(share_set, key), old=None)
        self._view.delete(self._key(name))
        return None

    def require_pending(self, name: str) -> tuple[Ceremony, Pending]:
        """A rekey whose new shares have to come back. Raises InvalidRequest."""
        ceremony = self.find(name)
        if ceremony is None or ceremony.pending is None:
            raise InvalidRequest("no rekey verification in progress")
        return ceremony, ceremony.pending

    def restart_verification(self, name: str) -> Pending:
        """Forget the new shares that came back so far."""
        ceremony, pending = self.require_pending(name)
        pending = msgspec.structs.replace(pending, nonce=uuid4_text(), given=())
        self._view.put(self._key(name), msgspec.structs.replace(ceremony, pending=pending))
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
            self._view.at(self.transaction.now + SETTLE_AFTER, "settle", job)

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
        self.transaction.put(HANDOVER_KEY, handover, charge=False)
        self.transaction.put(KEYRING_KEY, seal_keyring(root, keys.keyring, keys.installation), charge=False)
        self._view.at(self.transaction.now + HANDOVER_KEPT, "handover", HandoverJob(handover))

    # -- a new root token ---------------------------------------------------------------------------------------

    def start_generate(self, otp: str) -> Ceremony:
        """Begin making a root token. Raises InvalidRequest for a one-time password that does not fit."""
        if otp and len(otp.encode()) != TOKEN_LENGTH:
            raise InvalidRequest(f"otp string is wrong length: it takes {TOKEN_LENGTH} characters; leave it out to get one")
        return self.start(GENERATE, otp=otp or base62(TOKEN_LENGTH))

    def generate(self, ceremony: Ceremony, text: str) -> str | None:
        """Take a share in; with the last one the new root token, hidden under the one-time password. Raises InvalidRequest."""
        if self.give(GENERATE, ceremony, text) is None:
            return None
        token = root_token(self.core, self.call).client_token.reveal()
        self._view.delete(self._key(GENERATE))
        return hidden(token, ceremony.otp)


def _recognised(text: str, sets: list[ShareSet]) -> tuple[bytes, ShareSet]:
    if not text:
        raise InvalidRequest("'key' must be specified in request body as JSON")
    share = parse_share(text, (share_set.size for share_set in sets))
    return share, set_of(share, sets)


def _stands(share: bytes, sets: list[ShareSet]) -> bool:
    try:
        set_of(share, sets)
    except InvalidRequest:
        return False
    return True


def _of_set(given: tuple[bytes, ...], share_set: ShareSet) -> tuple[bytes, ...]:
    return tuple(share for share in given if _stands(share, [share_set]))


def _joined(given: tuple[bytes, ...], share: bytes) -> tuple[bytes, ...]:
    """The shares with one more. Raises InvalidRequest when it is among them."""
    if any(hmac.compare_digest(known, share) for known in given):
        raise InvalidRequest("this key share was already given; give another one")
    return (*given, share)


def hidden(token: str, otp: str) -> str:
    """A token XORed with a one-time password of its length, base64 without padding as Vault's clients decode it."""
    mixed = bytes(left ^ right for left, right in zip(token.encode(), otp.encode(), strict=True))
    return base64.b64encode(mixed).decode().rstrip("=")


# -- timers -----------------------------------------------------------------------------------------------------------


def settle_due(core: Core, call: Call, payload: bytes) -> None:
    """End superseded sets once their successors are surely known: the process lived on after answering, or was opened by the new one."""
    job = decoder(SettleJob).decode(payload)
    ceremonies = Ceremonies(core, call)
    config = ceremonies.config()
    settled = config.settled()
    if not config.overlapping or all(share_set.id != job.successor for share_set in settled.unseal_sets + settled.recovery_sets):
        return
    if job.successor in core.sealing.used or hmac.compare_digest(job.boot, core.sealing.boot):
        call.transaction.put(SEALS_KEY, settled.signed(core.barrier.keys.root, core.barrier.keys.installation), charge=False)
    else:
        call.transaction.view(areas.CEREMONIES).at(call.transaction.now + SETTLE_AGAIN, "settle", job)


def handover_due(_core: Core, call: Call, payload: bytes) -> None:
    """Remove a handover that served its time."""
    job = decoder(HandoverJob).decode(payload)
    stored = call.transaction.get(HANDOVER_KEY)
    if stored is not None and hmac.compare_digest(stored, job.payload):
        call.transaction.put(HANDOVER_KEY, None, charge=False)
