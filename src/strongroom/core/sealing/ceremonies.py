"""Ceremonies: what several key holders do together while the server is open. This is what a rekey (rekey.py) and a new root token
(root_generation.py) have in common: one under way, and the shares that are given to it.

Rules of this file:
- State lies in the store, sealed like any row: a ceremony goes on after a restart and on any node. Shares that were given lie there
  too until the quorum is met, under keys that the same shares protect.
- One ceremony per name. Those of the old unauthenticated routes have names of their own, so they never block or cancel the others.
- What is no share of the set in force is refused at once and changes nothing. When the quorum is met the round ends, well or not.
"""

from __future__ import annotations

import hmac
from typing import Any, NamedTuple

import msgspec

from strongroom.barrier.keyring import SEALS_KEY
from strongroom.barrier.seal import SealConfig, decoded_config, unwrapped
from strongroom.barrier.seals.shamir import Shamir
from strongroom.barrier.shares import ShareSet, combined, parse_share, set_of, wipe
from strongroom.barrier.view import View
from strongroom.core import areas
from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.sealing.rotation import refuse_second_change
from strongroom.core.sealing.unsealing import INVALID_KEY, require_recovery
from strongroom.core.transaction import Transaction
from strongroom.crypto.errors import InvalidRecord
from strongroom.crypto.ids import uuid4_text
from strongroom.errors import InvalidRequest, StorageTampered

ROOT, RECOVERY, GENERATE = "root", "recovery", "generate"
TEXTS = {ROOT: "rekey", RECOVERY: "recovery rekey", GENERATE: "root generation"}
ABSENT = {**TEXTS, ROOT: "barrier rekey"}
NO_SHARE = "'key' must be specified in request body as JSON"


class Pending(msgspec.Struct, frozen=True):
    """New shares that were handed out and have to come back before they count."""

    nonce: str
    share_set: ShareSet
    check: bytes
    given: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        return f"Pending({self.share_set.threshold} of {self.share_set.shares})"


class Ceremony(msgspec.Struct, frozen=True):
    """What is stored of one under way. `shares`, `threshold` and `verify` are of the new set, `otp` of a new root token.

    `pgp_keys` are whom the new shares, or the token, are encrypted to, `fingerprints` what those are known by; `backup` keeps a copy of
    the encrypted shares.
    """

    nonce: str
    shares: int = 0
    threshold: int = 0
    verify: bool = False
    otp: str = ""
    given: tuple[bytes, ...] = ()
    pending: Pending | None = None
    pgp_keys: tuple[str, ...] = ()
    fingerprints: tuple[str, ...] = ()
    backup: bool = False

    def __repr__(self) -> str:
        return f"Ceremony({self.nonce}, {len(self.given)} shares)"


class Quorum(NamedTuple):
    """Enough holders of one set came together: the set, and the key that its shares gave."""

    share_set: ShareSet
    key: bytearray

    def __repr__(self) -> str:
        return f"Quorum({self.share_set.threshold} of {self.share_set.shares})"


class Ceremonies:
    """The ceremonies as one call sees them. `old_form`: came by the unauthenticated routes."""

    def __init__(self, core: Core, call: Call, *, old_form: bool = False) -> None:
        self.core = core
        self.call = call
        self.transaction: Transaction = call.transaction
        self.old_form = old_form
        self.view: View = call.transaction.view(areas.CEREMONIES)

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
        return self.view.get(self.key(name), Ceremony)

    def key(self, name: str) -> str:
        """The row of a ceremony."""
        return f"open/{name}" if self.old_form else name

    def require(self, name: str, nonce: str) -> Ceremony:
        """The ceremony with this nonce. Raises InvalidRequest."""
        found = self.find(name)
        if found is None:
            raise InvalidRequest(f"no {ABSENT[name]} in progress")
        if not hmac.compare_digest(found.nonce.encode(), nonce.encode()):
            raise InvalidRequest(f'incorrect nonce supplied; nonce for this {TEXTS[name]} operation is "{found.nonce}"')
        return found

    def start(self, name: str, **fields: Any) -> Ceremony:
        """Begin one. Raises InvalidRequest when there is one already."""
        if self.find(name) is not None:
            raise InvalidRequest(f"{TEXTS[name]} already in progress")
        fresh = Ceremony(uuid4_text(), **fields)
        self.view.put(self.key(name), fresh)
        return fresh

    def cancel(self, name: str, nonce: str = "") -> None:
        """End one. An old-form one that holds shares is ended only by who knows its nonce. Raises InvalidRequest."""
        found = self.find(name)
        if found is None:
            return
        guarded = self.old_form and (found.given or found.pending is not None)
        if (nonce or guarded) and not hmac.compare_digest(found.nonce.encode(), nonce.encode()):
            raise InvalidRequest(f"incorrect nonce supplied; cancelling a {TEXTS[name]} that has begun takes its nonce")
        self.view.delete(self.key(name))

    # -- shares -------------------------------------------------------------------------------------------------

    def give(self, name: str, ceremony: Ceremony, text: str) -> Quorum | None:
        """Take a share in; the quorum once it is met. Raises InvalidRequest, and then the share was not counted."""
        sets = self.config().authority
        if not sets:
            raise InvalidRequest("this installation has no key shares that could authorise; it was made without recovery keys")
        share, share_set = recognised(text, sets)
        given = _of_set(ceremony.given, share_set)
        if len(given) < len(ceremony.given) and any(_stands(known, sets) for known in ceremony.given):
            raise InvalidRequest("this key share is of another set than those given before; cancel and begin with shares of one set")
        given = joined(given, share)
        if len(given) < share_set.threshold:
            self.view.put(self.key(name), msgspec.structs.replace(ceremony, given=given))
            return None
        self._end_round(name, ceremony)
        quorum = Quorum(share_set, self.call.once("combine", given, fn=lambda: combined(given)))
        self._prove(quorum)
        return quorum

    def _end_round(self, name: str, ceremony: Ceremony) -> None:
        """Whatever comes of the quorum, its shares are forgotten."""
        self.view.charge().put(self.key(name), msgspec.structs.replace(ceremony, given=()))

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


def recognised(text: str, sets: list[ShareSet]) -> tuple[bytes, ShareSet]:
    """A share as it was typed in, and the one of these sets that it is of. Raises InvalidRequest."""
    if not text:
        raise InvalidRequest(NO_SHARE)
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


def joined(given: tuple[bytes, ...], share: bytes) -> tuple[bytes, ...]:
    """The shares with one more. Raises InvalidRequest when it is among them."""
    if any(hmac.compare_digest(known, share) for known in given):
        raise InvalidRequest("given key has already been provided during this generation operation")
    return (*given, share)
