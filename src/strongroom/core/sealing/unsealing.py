"""From sealed to open: init, unseal shares in memory, seals that open by themselves, and the check against an anchor.

Rules of this file:
- Init is one commit: a crash leaves a store without a trace of it, or a whole installation. R is random; shares only wrap it.
- The order at unseal: R out of its wrap → the keyring opens under it → the seal configuration was signed under it → the index is not
  behind the anchor → only then is anything served.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from strongroom.barrier.anchor import check_anchor
from strongroom.barrier.keyring import SEALS_KEY, Installation
from strongroom.barrier.seal import Recovery, Seal, SealConfig, Wrap, recovery_check, stored_config, unwrapped, wrapped
from strongroom.barrier.seals.shamir import Shamir
from strongroom.barrier.shares import ShareSet, Split, check_numbers, combined, parse_share, set_of, split_new_key, wipe
from strongroom.core.core import Core
from strongroom.core.sealing.bootstrap import install, new_installation
from strongroom.core.sealing.holders import fingerprints, handed_out
from strongroom.core.secret import Secret
from strongroom.crypto.errors import InvalidRecord
from strongroom.errors import InvalidRequest, StorageUnusable, StrongroomError, Unavailable

INVALID_KEY = "Unseal failed, invalid key"


class InitParameters(NamedTuple):
    """What sys/init was asked for."""

    secret_shares: int = 0
    secret_threshold: int = 0
    recovery_shares: int = 0
    recovery_threshold: int = 0
    pgp_keys: tuple[str, ...] = ()
    recovery_pgp_keys: tuple[str, ...] = ()


class Initialised(NamedTuple):
    """What is shown once."""

    keys: list[bytes]
    recovery_keys: list[bytes] | None
    root_token: Secret

    def __repr__(self) -> str:
        return f"Initialised({len(self.keys)} keys)"


# -- init -------------------------------------------------------------------------------------------------------------


def initialise(core: Core, asked: InitParameters, token_id: str = "") -> Initialised:
    """Make an installation. A store with a seal of its own is open afterwards, one with shares is sealed. Raises InvalidRequest."""
    if core.barrier.installation() is not None:
        raise InvalidRequest("Vault is already initialized")
    seals = core.sealing.seals
    _check_parameters(asked, seals)
    installation = new_installation(core.clock.now())
    root = bytearray(secrets.token_bytes(32))
    split = _split(asked.recovery_shares, asked.recovery_threshold) if seals else split_new_key(asked.secret_shares, asked.secret_threshold)
    try:
        shares = handed_out(split.shares if split else [], asked.recovery_pgp_keys if seals else asked.pgp_keys)
        config = _first_config(seals, split, root, installation)
        token = install(core, installation, bytes(root), {SEALS_KEY: config.signed(root, installation)}, token_id)
    finally:
        wipe(root, *([split.key] if split else []))
    if seals:
        with suppress(StrongroomError):  # the process is sealed again and has said why; what is shown once must not be lost for it
            core.process.unsealed()
        return Initialised([], shares, token)
    core.barrier.seal()
    return Initialised(shares, None, token)


def _split(shares: int, threshold: int) -> Split | None:
    """Recovery shares; none at all where none were asked for."""
    return split_new_key(shares, threshold) if shares else None


def _first_config(seals: tuple[Seal, ...], split: Split | None, root: bytearray, installation: Installation) -> SealConfig:
    if not seals:
        assert split is not None
        return SealConfig((wrapped(Shamir(split.key), root, installation, split.share_set),))
    recoveries = (Recovery(split.share_set, recovery_check(split.key, installation)),) if split else ()
    return SealConfig(tuple(wrapped(seal, root, installation) for seal in seals), recoveries)


def _check_parameters(asked: InitParameters, seals: tuple[Seal, ...]) -> None:
    """Raises InvalidRequest where the numbers do not fit the seal, in Vault's words."""
    own, other = ("secret_shares", "secret_threshold", "pgp_keys"), ("recovery_shares", "recovery_threshold", "recovery_pgp_keys")
    names = own if seals else other
    misplaced = [name for name in names if getattr(asked, name)]
    if misplaced:
        kind = seals[0].kind if seals else "shamir"
        raise InvalidRequest(f"parameters {','.join(misplaced)} not applicable to seal type {kind}")
    shares, threshold, keys = (getattr(asked, name) for name in (other if seals else own))
    if seals and not shares and not threshold and not keys:
        return
    if keys and len(keys) != shares:
        raise InvalidRequest("incorrect number of PGP keys")
    try:
        check_numbers(shares, threshold)
        fingerprints(keys, shares)
    except InvalidRequest as error:
        what = "recovery" if seals else "seal"
        raise InvalidRequest(f"invalid {what} configuration: {error.messages[0]}") from None


# -- unseal -----------------------------------------------------------------------------------------------------------


def current_config(core: Core) -> SealConfig:
    """The seal configuration. Raises InvalidRequest where there is no installation."""
    config = stored_config(core.storage)
    if config is None:
        raise InvalidRequest("Vault is not initialized")
    return config


def submit(core: Core, text: str, *, accept_rollback: bool = False) -> str:
    """Take an unseal share; with the last one the store opens. Returns a warning or "". Raises InvalidRequest."""
    config = current_config(core)
    sets = config.authority
    if not config.unseal_sets and not (accept_rollback and sets):
        raise InvalidRequest(f"the seal {config.kind!r} opens by itself; recovery keys authorise, they cannot unseal")
    share = parse_share(text, (share_set.size for share_set in sets))
    share_set = set_of(share, sets)
    given = core.sealing.progress.give(share_set.id, share_set.threshold, share, accept=accept_rollback)
    if not given.new:
        return "this key share was already given; give another one"
    if given.shares:
        key = combined(given.shares)
        try:
            _open_with(core, config, share_set, key, given.accepted)
        finally:
            wipe(key)
    return ""


def _open_with(core: Core, config: SealConfig, share_set: ShareSet, key: bytearray, accepted: bool) -> None:
    wrap = next((wrap for wrap in config.wraps if share_set.same(wrap.share_set)), None)
    if wrap is None:
        require_recovery(core, config, share_set, key)
        _open_by_seal(core, config, accepted)
        return
    installation = _installation(core)
    try:
        root = unwrapped(Shamir(key), wrap, installation)
        _open(core, config, root, accepted, used=share_set.id)
    except InvalidRecord:
        raise InvalidRequest(INVALID_KEY) from None


def require_recovery(core: Core, config: SealConfig, share_set: ShareSet, key: bytearray) -> None:
    """Raises InvalidRequest unless the combined key is the recovery key of this set."""
    check = recovery_check(key, _installation(core))
    for recovery in config.recoveries:
        if recovery.share_set.same(share_set) and secrets.compare_digest(recovery.check, check):
            return
    raise InvalidRequest("the recovery keys do not combine to the recovery key of this installation")


def open_by_itself(core: Core) -> None:
    """Open the store with a configured seal. Raises Unavailable, naming for each seal why it could not."""
    _open_by_seal(core, current_config(core), accepted=False)


def _open_by_seal(core: Core, config: SealConfig, accepted: bool) -> None:
    installation = _installation(core)
    reasons: list[str] = []
    for seal, wrap in _pairs(core.sealing.seals, config.wraps):
        try:
            root = unwrapped(seal, wrap, installation)
        except InvalidRecord:
            reasons.append(f"{seal.kind}: its key is not the one this store was sealed with")
            continue
        except Unavailable as error:
            reasons.append(f"{seal.kind}: {error.messages[0]}")
            continue
        try:
            _open(core, config, root, accepted)
        except InvalidRecord:
            raise StorageUnusable("the seal gave a root key that does not open the keyring; restore from a snapshot") from None
        return
    raise Unavailable("no seal could open the store: " + ("; ".join(reasons) or "none of the configured seals wraps its root key"))


def _pairs(seals: tuple[Seal, ...], wraps: tuple[Wrap, ...]) -> list[tuple[Seal, Wrap]]:
    return [(seal, wrap) for seal in seals for wrap in wraps if wrap.kind == seal.kind]


def _open(core: Core, config: SealConfig, root: bytearray, accept_rollback: bool, used: bytes = b"") -> None:
    """Prove R and everything that hangs on it; on any doubt the store stays sealed. Raises InvalidRecord and StrongroomError."""
    barrier = core.barrier
    try:
        barrier.unseal(bytes(root))
        config.authenticate(root, barrier.keys.installation)
        check_anchor(barrier.index(), core.sealing.anchor(), accepted=accept_rollback)
    except BaseException:
        barrier.seal()
        raise
    finally:
        wipe(root)
    if used:
        core.sealing.used.add(used)
    _opened(core)


def open_with_root(core: Core, root: bytearray, used: Iterable[bytes]) -> None:
    """Open the store with a root key that a process of this host has just proven, its anchor included. Raises StrongroomError."""
    if not core.barrier.sealed:
        return
    try:
        core.committed.catch_up()  # it may be younger than what this process last heard of
        core.barrier.unseal(root)
        current_config(core).authenticate(root, core.barrier.keys.installation)
    except InvalidRecord:
        core.barrier.seal()
        raise Unavailable("the root key was changed; unseal this worker again") from None
    except BaseException:
        core.barrier.seal()
        raise
    core.sealing.used.update(used)
    _opened(core)


def _opened(core: Core) -> None:
    core.sealing.progress.reset()
    core.committed.forget(None, None)
    core.process.unsealed()


def _installation(core: Core) -> Installation:
    installation = core.barrier.installation()
    if installation is None:
        raise InvalidRequest("Vault is not initialized")
    return installation


def try_open(core: Core) -> StrongroomError | None:
    """For start-up: open the store if a seal can; the reason is returned, to be logged and tried again."""
    try:
        if core.barrier.sealed and core.sealing.seals and core.barrier.installation() is not None:
            open_by_itself(core)
    except StrongroomError as error:
        return error
    return None
