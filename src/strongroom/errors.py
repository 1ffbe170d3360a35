"""Every error a caller can see, in one small tree.

Rules of this file:
- A class says whose fault it is and carries the HTTP status; codecs render it, nothing else decides a status.
- A message says what is wrong, why, and what to do next. It never quotes a secret or a value from a request body.
- Where strangers may not learn why, `reason` says it for the audit log alone; no codec shows it.
- Anything that is not a StrongroomError is a bug: the caller sees a 500 with the request id and nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def several(*messages: str) -> str:
    """Messages in one text, as Go's multierror prints them: what Vault puts around errors of its own, and clients know."""
    count = "1 error" if len(messages) == 1 else f"{len(messages)} errors"
    return f"{count} occurred:\n" + "".join(f"\t* {message}\n" for message in messages) + "\n"


class StrongroomError(Exception):
    """Base of all errors that may be shown to a caller."""

    status = 500

    def __init__(self, *messages: str, reason: str = "") -> None:
        super().__init__(*messages)
        self.messages: tuple[str, ...] = messages
        self.reason = reason


class InvalidRequest(StrongroomError):
    """The caller sent something that cannot be right. `data` is shown beside the errors where a client reads it."""

    status = 400

    def __init__(self, *messages: str, data: Mapping[str, object] | None = None, reason: str = "") -> None:
        super().__init__(*messages, reason=reason)
        self.data = data


class PermissionDenied(StrongroomError):
    """No token, or no policy that allows it. Says the same whatever the reason."""

    status = 403

    def __init__(self, message: str = "permission denied", reason: str = "") -> None:
        super().__init__(message, reason=reason)


class InvalidToken(PermissionDenied):
    """There is no such token, or not any more: whoever holds it has to log in again, which Vault's agent does at this answer."""


class Forbidden(StrongroomError):
    """The server's configuration, or what it shows to whom, does not allow it; says the same to everybody it refuses."""

    status = 403


class NotFound(StrongroomError):
    """There is nothing at that path.

    `data` and `warnings` turn the answer into a full envelope with status 404, which clients of KV v2 read for deleted versions.
    """

    status = 404

    def __init__(self, *messages: str, data: Mapping[str, object] | None = None, warnings: Sequence[str] = ()) -> None:
        super().__init__(*messages)
        self.data = data
        self.warnings = tuple(warnings)


class UnsupportedOperation(StrongroomError):
    """The path exists but not for this verb."""

    status = 405

    def __init__(self, message: str = several("unsupported operation")) -> None:
        super().__init__(message)


class StateNotPresent(StrongroomError):
    """The caller has seen a newer state than the store has: it was restored, or a failover lost commits. Vault's clients try again."""

    status = 412

    def __init__(self, message: str = "required index state not present") -> None:
        super().__init__(message)


class TooLarge(StrongroomError):
    """The body, a header or a staged change is over its limit."""

    status = 413


class UnsupportedMediaType(StrongroomError):
    """PATCH needs `application/merge-patch+json`."""

    status = 415


class TooManyRequests(StrongroomError):
    """A quota or a limit on guessing was reached; `retry_after` is in seconds."""

    status = 429

    def __init__(self, message: str, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Unavailable(StrongroomError):
    """The server cannot answer now and the caller may try again."""

    status = 503


class Sealed(Unavailable):
    """The barrier is sealed: nothing can be read or written until it is unsealed."""

    def __init__(self, message: str = "Vault is sealed") -> None:
        super().__init__(message)


class OutcomeUnknown(Unavailable):
    """The commit was sent but its answer was lost; the change may or may not have happened."""

    def __init__(self, group_id: bytes) -> None:
        super().__init__("outcome_unknown: the change may or may not have been stored; read it back before trying again")
        self.group_id = group_id


class InternalError(StrongroomError):
    """Something failed inside; the log has the details under the request id."""

    status = 500

    def __init__(self, message: str = "internal error") -> None:
        super().__init__(message)


class StorageTampered(InternalError):
    """A stored record is not what this server wrote there. `what` names the object, never its content."""

    def __init__(self, what: str) -> None:
        super().__init__(f"storage_tampered: {what} is not what was written; run 'strongroom operator scrub' and restore from a snapshot")
        self.what = what


class StorageUnusable(Unavailable):
    """The store cannot be opened, read or written: locked by another server, wrong settings, newer format, disk error."""


class StorageUnsafe(StorageUnusable):
    """The store is set up so that answers could be lost or rows damaged; it is not used until that is changed."""


class AuditFailed(InternalError):
    """No audit device took the entry, so nothing is answered."""


class ConfigError(StrongroomError):
    """The configuration cannot be used; the message names the key."""

    status = 400
