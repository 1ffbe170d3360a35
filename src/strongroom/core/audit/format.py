"""A call becomes two lines, request and response, in the members that Vault's entries have.

Rules of this file:
- What is written is listed here. A new field of a noun stays out of the log until somebody says here how it is written.
- Bodies, tokens and accessors are masked (core/audit/mask.py); names, paths, policies and our own error texts stand in the clear. An
  exception that is not a StrongroomError is "internal error": its text may quote anything.
- Lines are spliced from bytes. What depends on the token, the mount or a stored text alone is kept with it, so a read of a cached
  secret masks and encodes nothing.

Bodies are JSON objects without the closing brace: the stream adds its members and closes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from cryptography import x509

from strongroom.barrier.directory import MOST_FORMS, Directory
from strongroom.clock import SECOND, rfc3339
from strongroom.core.audit.mask import NONE, Mask, Names, elide, encode, name_text
from strongroom.core.call import Call, Decision
from strongroom.core.mount import Mount
from strongroom.core.policy.templates import REJECTED
from strongroom.core.request import Operation, Request
from strongroom.core.response import Auth, Bare, Json, Listed, Response, WrapInfo
from strongroom.core.secret import Secret
from strongroom.core.token.entry import Token
from strongroom.errors import PermissionDenied, StrongroomError
from strongroom.memo import Budget, remember

KEPT_CONTEXTS: Final = 4_096
"""Requests whose masked part waits for the response; more than the server parks."""
MOST_TEXTS: Final = 256
"""Names and texts of a body that are masked one by one for callers who have no right to be here: each empty text of two bytes becomes
eighty in each line, so that anybody could fill the disk at fifty times the rate he sends at."""
MASKED_AT_ONCE: Final = 2_000
"""Names that are masked in one go where the call can pause: two milliseconds."""
KEPT_FRAGMENTS: Final = 64
"""Forms of one token: one per device and set of granting policies."""

_ROOT: Final = b'"namespace":{"id":"root"}'


class Options(NamedTuple):
    """What a device may choose."""

    hmac_accessor: bool = True
    elide_list_responses: bool = False


MASKS_OF_ONE: Final = 16
MOST_MASKED: Final = 32 << 20
MASK_BYTES: Final = 256
"""Masked forms kept of one text, bytes of all of them, and what each takes beside its own: a text of many short values is ten times as
long when it is masked. Those of texts that were written anew count until all start over, but take no memory."""
_BUDGET: Final = Budget(MOST_MASKED)


class Repeated(NamedTuple):
    """The lines of a read that is answered again and again: who asks and who is answered, both kept with the token; the members of
    `request` behind its id; the answer."""

    asking: bytes
    answered: bytes
    what: bytes
    answer: bytes

    def lines(self, time: bytes, request_id: bytes, place: bytes) -> tuple[bytes, bytes]:
        """Request line and response line."""
        asking, answered, what, answer = self
        return (
            b'{"type":"request","time":"%b"%b"id":"%b%b%b}' % (time, asking, request_id, what, place),
            b'{"type":"response","time":"%b"%b"id":"%b%b%b}%b' % (time, answered, request_id, what, place, answer),
        )


class _Place(NamedTuple):
    """What the lines of one mount have in common."""

    mount: Mount | None
    members: bytes
    request_clear: frozenset[str]
    response_clear: frozenset[str]
    policy: tuple[str, frozenset[str]]


class Formatter:
    """The lines of one device. `headers`: the request headers to write, and whether masked."""

    __slots__ = ("_contexts", "_device", "_nowhere", "_options", "_places", "headers", "mask")

    def __init__(self, device: str, key: bytes, options: Options) -> None:
        self.mask = Mask(key)
        self.headers: Mapping[bytes, bool] = {}
        self._device = device
        self._options = options
        self._places: dict[bytes, _Place] = {}
        self._nowhere = _Place(None, b"", NONE, NONE, (device, NONE))
        self._contexts: dict[str, tuple[bytes, _Place]] = {}

    def request(self, call: Call, error: BaseException | None, time: bytes) -> bytes:
        """The line that says what somebody is about to do, or was not allowed to."""
        request, place, decision = call.request, self._place(call.mount), call.decision
        what, where = self._what(call, place), self._where(request)
        remember(self._contexts, KEPT_CONTEXTS, request.id, (what + where, place))
        return b'{"type":"request","time":"%b"%b%b%b%b%b' % (
            time,
            _error(error) if error is not None else b"",
            self._who(call, decision, decision is not None or not isinstance(error, PermissionDenied)),
            what,
            self._data(request, place.request_clear, decision is None) if request.raw or request.data else b"",
            where,
        )

    def response(self, call: Call, response: Response | None, error: BaseException | None, time: bytes) -> bytes:
        """The line that says what was answered. What was sent, and which policies grant it, stands in the request line alone."""
        kept: tuple[bytes, _Place] | None = self._contexts.pop(call.request.id, None)
        context, place = kept or self._again(call)
        return b'{"type":"response","time":"%b"%b%b%b,"response":{%b}' % (
            time,
            _error(error) if error is not None else b"",
            self._who(call, None, call.decision is not None or not isinstance(error, PermissionDenied)),
            context,
            self._answer(call, response, error, place),
        )

    def _again(self, call: Call) -> tuple[bytes, _Place]:
        place = self._place(call.mount)
        return self._what(call, place) + self._where(call.request), place

    # --- request ---

    def _who(self, call: Call, decision: Decision | None, allowed: bool) -> bytes:
        """`auth` and the beginning of `request`; it begins with a comma."""
        token = call.token
        if token is None:
            return self._stranger(call.request.credential, allowed)
        return token.fragments.get((self._device, decision or allowed)) or self._known(token, decision, allowed)

    def _where(self, request: Request) -> bytes:
        """Where it came from, and the end of `request`."""
        extras = self._extras(request) if request.wrap_ttl or request.peer.leaf is not None or self.headers else b""
        return b"%b%b}" % (request.peer.place, extras)

    def _what(self, call: Call, place: _Place) -> bytes:
        """Id, operation, mount, namespace and path."""
        request = call.request
        return b'"id":"%b","operation":"%b",%b%b,"path":%b' % (
            request.id.encode(),
            call.operation.encode(),
            place.members,
            _namespace(request.namespace) if request.namespace else _ROOT,
            name_text(request.path),
        )

    def repeated(self, call: Call, response: Response) -> Repeated:
        """What the lines of this read, of a known token and without a body, have in common with those of the same read later."""
        place = self._place(call.mount)
        what = self._what(call, place).partition(call.request.id.encode())[2]
        answer = b',"response":{%b}' % self._answer(call, response, None, place)
        return Repeated(self._who(call, call.decision, True), self._who(call, None, True), what, answer)

    def _data(self, request: Request, clear: frozenset[str], ungranted: bool) -> bytes:
        """The members of the body, or the parameters of the query. Of a long body that nobody granted, one HMAC of its text."""
        if ungranted and request.raw.count(b'"') > 2 * MOST_TEXTS:
            return b',"data":%b' % self.mask.quoted(request.raw)
        return b',"data":%b' % (self.mask.value(request.data, clear) if request.data else self.mask.json(request.raw, clear))

    def _stranger(self, credential: Secret, allowed: bool) -> bytes:
        """Nobody we know; what was presented is masked."""
        token = b'"client_token":%b,' % self.mask.quoted(credential.reveal().encode("utf-8", "surrogatepass")) if credential else b""
        return b',"auth":{%b"policy_results":%b,"token_type":"default"},"request":{%b' % (token, _results(None, allowed), token)

    def _known(self, token: Token, decision: Decision | None, allowed: bool) -> bytes:
        """`auth` and the beginning of `request`, kept with the token."""
        entry = token.entry
        secret = self.mask.quoted(token.secret.reveal().encode("utf-8", "surrogatepass"))
        accessor = self._accessor(entry.accessor)
        members = [
            b'"client_token":%b,"accessor":%b' % (secret, accessor),
            b'"display_name":%b,"policies":%b' % (name_text(entry.display_name), encode(token.policies)),
            b'"policy_results":%b' % _results(decision, allowed),
            b'"token_type":%b,"token_ttl":%d' % (name_text(entry.kind), entry.ttl),
            b'"token_issue_time":%b' % encode(rfc3339(entry.created)),
        ]
        optional: dict[bytes, object] = {
            b"token_policies": entry.policies if decision is not None or not allowed else None,
            b"identity_policies": token.identity_policies,
            b"metadata": entry.metadata,
            b"entity_id": entry.entity_id,
            b"num_uses": entry.num_uses,
            b"remaining_uses": entry.num_uses,
            b"template_value_rejected": [
                {"policy": one.policy, "path": one.pattern} for one in token.acl.dropped if one.reason == REJECTED
            ],
        }
        members += _present(optional)
        client = b'"client_id":%b,' % name_text(entry.entity_id) if entry.entity_id else b""
        text = b',"auth":{%b},"request":{%b"client_token":%b,"client_token_accessor":%b,' % (b",".join(members), client, secret, accessor)
        return remember(token.fragments, KEPT_FRAGMENTS, (self._device, decision or allowed), text)

    def _extras(self, request: Request) -> bytes:
        """What few requests have."""
        members = b',"wrap_ttl":%d' % request.wrap_ttl if request.wrap_ttl else b""
        if request.peer.leaf is not None:
            members += b',"client_certificate_serial_number":%b' % encode(_serial(request.peer.leaf))
        sent = [(name, request.headers[name], masked) for name, masked in self.headers.items() if name in request.headers]
        if not sent:
            return members
        headers = [b"%b:[%b]" % (name_text(name.decode("latin-1")), self._header(value, masked)) for name, value, masked in sent]
        return b'%b,"headers":{%b}' % (members, b",".join(headers))

    def _header(self, value: bytes, masked: bool) -> bytes:
        return self.mask.quoted(value) if masked else name_text(value.decode("utf-8", "backslashreplace"))

    # --- response ---

    def _answer(self, call: Call, response: Response | None, error: BaseException | None, place: _Place) -> bytes:
        """The members of `response`."""
        members = place.members[:-1]
        if response is None:
            shown = getattr(error, "data", None)
            data = b'"data":%b' % self._listing(call, shown, place) if isinstance(shown, Mapping) else b""
            return b",".join(filter(None, (members, data)))
        data = b"" if response.data is None else b'"data":%b' % self._shown(call, response.data, place)
        if response.auth or response.lease or response.wrap or response.bare or response.warnings:
            return b",".join(filter(None, (members, data, *self._rarities(response))))
        return place.members + data if data else members

    def _shown(self, call: Call, data: Mapping[str, object] | Json, place: _Place) -> bytes:
        """The masked data of an answer; that of stored text is kept with the text."""
        if not isinstance(data, Json):
            return self._listing(call, data, place)
        if data.masks is None:
            return self.mask.json(data.text, place.response_clear)
        masked = data.masks.get(place.policy)
        if masked is None:
            masked = self.mask.json(data.text, place.response_clear)
            _BUDGET.remember(data.masks, MASKS_OF_ONE, place.policy, masked, weight=len(masked) + MASK_BYTES)
        return masked

    def _listing(self, call: Call, data: Mapping[str, object], place: _Place) -> bytes:
        if self._options.elide_list_responses and call.operation is Operation.LIST:
            data = elide(data)
        if isinstance(data, Listed) and "keys" not in place.response_clear:
            return self._names(data.directory, place).data(data.directory.names)
        return self.mask.value(data, place.response_clear)

    def _names(self, directory: Directory, place: _Place) -> Names:
        """The masked names of a directory are kept with it."""
        names = directory.forms.get(place.policy)
        if not isinstance(names, Names):
            names = Names(self.mask)
            remember(directory.forms, MOST_FORMS, place.policy, names)
        return names

    def ahead(self, mount: Mount | None, directory: Directory) -> bool:
        """Mask some more names of a directory that is going to be listed; whether that was all."""
        place = self._place(mount)
        if self._options.elide_list_responses or "keys" in place.response_clear:
            return True
        return self._names(directory, place).grow(directory.names, MASKED_AT_ONCE)

    def _rarities(self, response: Response) -> list[bytes]:
        members: list[bytes] = []
        if response.auth is not None:
            members.append(b'"auth":{%b}' % b",".join(self._auth(response.auth)))
        if response.lease is not None and response.lease.id:
            members.append(b'"secret":{"lease_id":%b}' % name_text(response.lease.id))
        if response.wrap is not None:
            members.append(b'"wrap_info":{%b}' % self._wrap(response.wrap))
        if response.bare is not None and response.data is None:
            members.append(b'"data":{%b}' % self._bare(response.bare))
        if response.warnings:
            members.append(b'"warnings":%b' % encode(response.warnings))
        return members

    def _auth(self, auth: Auth) -> list[bytes]:
        """The `auth` block of a login or a new token."""
        clear: dict[bytes, object] = {
            b"policies": auth.policies,
            b"token_policies": auth.token_policies,
            b"identity_policies": auth.identity_policies,
            b"metadata": auth.metadata,
            b"entity_id": auth.entity_id,
            b"token_type": auth.token_type,
            b"token_ttl": auth.lease_duration,
            b"num_uses": auth.num_uses,
        }
        secret = auth.client_token.reveal().encode("utf-8", "surrogatepass")
        token = b'"client_token":%b' % self.mask.quoted(secret) if secret else b""
        accessor = b'"accessor":%b' % self._accessor(auth.accessor) if auth.accessor else b""
        mfa = b'"mfa_requirement":%b' % self.mask.value(auth.mfa_requirement) if auth.mfa_requirement else b""
        return [member for member in (token, accessor, *_present(clear), mfa) if member]

    def _wrap(self, wrap: WrapInfo) -> bytes:
        wrapped = b',"wrapped_accessor":%b' % self._accessor(wrap.wrapped_accessor) if wrap.wrapped_accessor else b""
        return b'"ttl":%d,"token":%b,"accessor":%b,"creation_time":%b,"creation_path":%b%b' % (
            wrap.ttl,
            self.mask.quoted(wrap.token.reveal().encode("utf-8", "surrogatepass")),
            self._accessor(wrap.accessor),
            encode(rfc3339(wrap.creation_time)),
            name_text(wrap.creation_path),
            wrapped,
        )

    def _bare(self, bare: Bare) -> bytes:
        members = b'"http_status_code":%d,"http_content_type":%b,"http_raw_body":%b' % (
            bare.status,
            name_text(bare.content_type),
            self.mask.quoted(bare.body),
        )
        return b'%b,"reason":%b' % (members, name_text(bare.reason)) if bare.reason else members

    # --- both ---

    def _accessor(self, accessor: str) -> bytes:
        return self.mask.quoted(accessor.encode()) if self._options.hmac_accessor else name_text(accessor)

    def _place(self, mount: Mount | None) -> _Place:
        """Kept per mount; a tuned or moved mount is another value and replaces it."""
        if mount is None:
            return self._nowhere
        place = self._places.get(mount.uuid)
        if place is None or place.mount is not mount:
            clear = frozenset(mount.config.audit_non_hmac_response_keys)
            place = _Place(mount, _mount(mount), frozenset(mount.config.audit_non_hmac_request_keys), clear, (self._device, clear))
            self._places[mount.uuid] = place
        return place


def timestamp(now: int, second: int, prefix: bytes) -> tuple[bytes, int, bytes]:
    """An instant with nine decimals, and the second and prefix to hand in next time: most calls are in the second of the one before."""
    whole, fraction = divmod(now, SECOND)
    if whole != second:
        prefix = rfc3339(whole * SECOND)[:-1].encode()
    return b"%b.%09dZ" % (prefix, fraction), whole, prefix


def _mount(mount: Mount) -> bytes:
    return b'"mount_accessor":%b,"mount_class":%b,"mount_point":%b,"mount_type":%b,' % (
        name_text(mount.accessor),
        b'"auth"' if mount.path.startswith("auth/") else b'"secret"',
        name_text(mount.path),
        name_text(mount.kind),
    )


def _namespace(namespace: str) -> bytes:
    return b'"namespace":{"id":%b,"path":%b}' % (name_text(namespace), name_text(namespace.rstrip("/") + "/"))


def _results(decision: Decision | None, allowed: bool) -> bytes:
    """Why it was allowed: the policies that granted it."""
    names = () if decision is None else decision.granting or (("root",) if decision.root else ())
    if not names:
        return b'{"allowed":%b}' % (b"true" if allowed else b"false")
    return b'{"allowed":true,"granting_policies":%b}' % encode([{"name": name, "namespace_id": "root", "type": "acl"} for name in names])


def _present(members: Mapping[bytes, object]) -> list[bytes]:
    return [b'"%b":%b' % (name, encode(value)) for name, value in members.items() if value]


def _error(error: BaseException) -> bytes:
    """What the caller was told, and beside it what he was not."""
    if not isinstance(error, StrongroomError):
        return b',"error":"internal error"'
    text = "; ".join(error.messages) or type(error).__name__
    return b',"error":%b%b' % (name_text(text), b',"reason":%b' % name_text(error.reason) if error.reason else b"")


@lru_cache(maxsize=1_024)
def _serial(certificate: bytes) -> str:
    try:
        return str(x509.load_der_x509_certificate(certificate).serial_number)
    except ValueError:
        return ""
