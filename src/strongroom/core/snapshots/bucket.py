"""A bucket that speaks S3's API (Amazon S3, MinIO, Ceph …), as a place for snapshots.

Rules of this file:
- Every request is signed (crypto/sigv4.py), body included, and goes the guarded way out; TLS always.
- An object is uploaded in parts, so memory does not depend on its size, and exists only once all parts do. Then it is read back and
  compared; what was begun and not finished is aborted.
- Names are unreserved characters only: signed and sent they are the same, whatever encoding a service expects.
- Where objects are to be locked, the lock is part of the upload: nobody who takes over this server can remove them before their time.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from hmac import compare_digest
from typing import Final, NamedTuple
from urllib.parse import quote

from strongroom.clock import SECOND, Clock, rfc3339
from strongroom.core.snapshots.places import digest, pieces
from strongroom.core.snapshots.taking import Taken
from strongroom.crypto import sigv4
from strongroom.crypto.sigv4 import Credentials
from strongroom.errors import Unavailable
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import OutboundError
from strongroom.outbound.url import parse_url
from strongroom.outbound.wire import Answer

PART: Final = 8 << 20
"""Bytes of a part: S3 takes 5 MiB to 5 GiB, and 10,000 of them."""
TIMEOUT: Final = 120.0
"""Seconds for one part."""
MAX_PAGES: Final = 100
"""Pages of 1,000 names that are looked through."""
DAY: Final = 86_400 * SECOND

NO_HEADERS: Mapping[str, str] = {}
_UPLOAD = re.compile(rb"<UploadId>([A-Za-z0-9._~+/=-]{1,1024})</UploadId>")
_KEY = re.compile(rb"<Key>([A-Za-z0-9._/-]{1,1024})</Key>")
_NEXT = re.compile(rb"<NextContinuationToken>([^<&]{1,1024})</NextContinuationToken>")
_CODE = re.compile(rb"<Code>([A-Za-z.]{1,64})</Code>")
_ETAG = re.compile(r'"?[A-Za-z0-9-]{1,128}"?', re.ASCII)


class Target(NamedTuple):
    """Which bucket, and how it is reached. `prefix` ends in "/" or is empty; `lock_mode` "" for no lock."""

    origin: str
    path: str
    region: str
    prefix: str
    credentials: Credentials
    ca_pem: str = ""
    encryption: Mapping[str, str] = NO_HEADERS
    lock_mode: str = ""
    lock_days: int = 0


class Bucket:
    """A place; see places.py."""

    def __init__(self, target: Target, outbound: Outbound, clock: Clock) -> None:
        self._target = target
        self._outbound = outbound
        self._clock = clock

    # -- the place ----------------------------------------------------------------------------------------------

    def put(self, name: str, taken: Taken) -> str:
        path = self._object(name)
        upload = self._begin(path)
        try:
            parts = [self._part(path, upload, number, body) for number, body in enumerate(pieces(taken.file, PART), 1)]
            self._finish(path, upload, parts)
        except BaseException:
            self._abort(path, upload)
            raise
        self._compare(path, taken)
        return f"{self._target.origin}{path}"

    def names(self, beginning: str) -> list[str]:
        found: list[str] = []
        token = ""
        for _ in range(MAX_PAGES):
            page = self._list(beginning, token)
            found += [key[1].decode().removeprefix(self._target.prefix) for key in _KEY.finditer(page)]
            following = _NEXT.search(page)
            if following is None:
                break
            token = following[1].decode()
        return found

    def size(self, name: str) -> int:
        answer = self._ask("HEAD", self._object(name))
        length = answer.headers.get("content-length", "")
        return int(length) if length.isascii() and length.isdecimal() else 0

    def remove(self, name: str) -> None:
        self._ask("DELETE", self._object(name), accept=(200, 204))

    # -- uploading ----------------------------------------------------------------------------------------------

    def _begin(self, path: str) -> str:
        target = self._target
        headers = {"content-type": "application/octet-stream", "x-amz-checksum-algorithm": "SHA256", **target.encryption}
        if target.lock_mode:
            until = self._clock.now() // SECOND * SECOND + target.lock_days * DAY
            headers |= {"x-amz-object-lock-mode": target.lock_mode, "x-amz-object-lock-retain-until-date": rfc3339(until)}
        found = _UPLOAD.search(self._ask("POST", path, "uploads=", headers=headers).body)
        if found is None:
            raise _odd("it began no upload")
        return quote(found[1].decode(), safe="")

    def _part(self, path: str, upload: str, number: int, body: bytes) -> bytes:
        """Send a part; how it is named when the upload is finished."""
        checksum = b64encode(sha256(body).digest()).decode()
        query = f"partNumber={number}&uploadId={upload}"
        etag = self._ask("PUT", path, query, body, {"x-amz-checksum-sha256": checksum}).headers.get("etag", "")
        if not _ETAG.fullmatch(etag):
            raise _odd("it gave a part no name")
        named = f"<PartNumber>{number}</PartNumber><ETag>{etag}</ETag><ChecksumSHA256>{checksum}</ChecksumSHA256>"
        return f"<Part>{named}</Part>".encode()

    def _finish(self, path: str, upload: str, parts: list[bytes]) -> None:
        body = b"<CompleteMultipartUpload>%b</CompleteMultipartUpload>" % b"".join(parts)
        answer = self._ask("POST", path, f"uploadId={upload}", body, {"content-type": "application/xml"})
        if b"CompleteMultipartUploadResult" not in answer.body:  # an error may come with the status 200
            raise _failed(answer)

    def _abort(self, path: str, upload: str) -> None:
        with suppress(Unavailable):  # then its lifecycle rules have to; the first error is the one to tell
            self._ask("DELETE", path, f"uploadId={upload}", accept=(200, 204, 404))

    def _compare(self, path: str, taken: Taken) -> None:
        hashed = sha256()
        for start in range(0, taken.size, PART):
            end = min(start + PART, taken.size) - 1
            answer = self._ask("GET", path, headers={"range": f"bytes={start}-{end}"}, accept=(200, 206))
            hashed.update(answer.body)
        if not compare_digest(hashed.digest(), digest(taken.file)):
            raise _odd("what it gives back is not what was sent")

    # -- asking -------------------------------------------------------------------------------------------------

    def _object(self, name: str) -> str:
        return f"{self._target.path}/{self._target.prefix}{name}"

    def _list(self, beginning: str, token: str) -> bytes:
        target = self._target
        query = f"list-type=2&prefix={quote(target.prefix + beginning, safe='')}"
        if token:
            query = f"continuation-token={quote(token, safe='')}&{query}"
        return self._ask("GET", f"{target.path}/", query).body

    def _ask(
        self,
        method: str,
        path: str,
        query: str = "",
        body: bytes = b"",
        headers: Mapping[str, str] = NO_HEADERS,
        accept: tuple[int, ...] = (200,),
    ) -> Answer:
        """One signed request. Raises Unavailable."""
        target = self._target
        own = {"x-amz-content-sha256": sha256(body).hexdigest(), **headers}
        request = sigv4.Request(method, path, query, (("host", parse_url(target.origin).authority), *own.items()), body)
        signed = sigv4.sign(request, target.credentials, target.region, "s3", self._clock.now())
        url = f"{target.origin}{path}" + (f"?{query}" if query else "")
        try:
            answer = self._outbound.request(
                method,
                url,
                headers={**own, **signed},
                body=body,
                reach=Reach.CONFIGURED,
                ca_pem=target.ca_pem,
                timeout=TIMEOUT,
                limit=PART + 1_024,
            )
        except OutboundError as error:
            raise Unavailable(f"the bucket cannot be asked: {error.reason}") from None
        if answer.status not in accept:
            raise _failed(answer)
        return answer


def _failed(answer: Answer) -> Unavailable:
    """In the service's own word for it, and no more of what it said."""
    code = _CODE.search(answer.body)
    said = code[1].decode() if code else "no reason given"
    hint = "; is that its region?" if 300 <= answer.status < 400 else ""
    return Unavailable(f"the bucket answered {answer.status} ({said}){hint}")


def _odd(what: str) -> Unavailable:
    return Unavailable(f"the bucket does not behave as S3's API says: {what}")
