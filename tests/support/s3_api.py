"""S3's API as far as snapshots need it, over TLS: multipart uploads, ranges, lists, deletions, object lock.

Rules of this file:
- A request is answered only if its Signature Version 4 verifies, host, instant and the hash of its body signed.
- Answers are S3's documents. `trouble` gives another answer for what it chooses.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from strongroom.clock import SECOND, Clock, SystemClock, parse_rfc3339
from strongroom.crypto import sigv4
from strongroom.crypto.errors import InvalidSignature
from tests.support.elsewhere import Answered, Asked, Elsewhere

KEY, SECRET, BUCKET, REGION = "AKIASNAPSHOT", "secret/of+snapshots", "backups", "eu-test-1"
SIGNED = ("host", "x-amz-date", "x-amz-content-sha256")


def xml(text: str, status: int = 200, **headers: str) -> Answered:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answered(status, f'<?xml version="1.0" encoding="UTF-8"?>\n{text}'.encode(), {"content-type": "application/xml", **named})


def error(status: int, code: str) -> Answered:
    return xml(f"<Error><Code>{code}</Code><Message>told by the stub</Message></Error>", status)


class Bucket(Elsewhere):
    """One bucket in path style. What it holds may be looked at and changed between requests."""

    def __init__(self, directory: Path, clock: Clock | None = None, *, locks: bool = False) -> None:
        super().__init__(directory, self._respond)
        self.clock = clock or SystemClock()
        self.locks = locks
        self.objects: dict[str, bytes] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.page = 1_000
        self.trouble: Callable[[Asked], Answered | None] = lambda asked: None

    def _respond(self, asked: Asked) -> Answered:
        path, _, query = asked.target.partition("?")
        request = sigv4.Request(asked.method, path, query, tuple(asked.headers.items()), asked.body)
        try:
            authorization = sigv4.verify(request, SECRET, self.clock.now(), SIGNED)
        except InvalidSignature:
            return error(403, "SignatureDoesNotMatch")
        if authorization.access_key != KEY or authorization.scope.service != "s3":
            return error(403, "InvalidAccessKeyId")
        if authorization.scope.region != REGION:
            return error(301, "PermanentRedirect")
        told = self.trouble(asked)
        if told is not None:
            return told
        parameters = {name: unquote(value) for name, _, value in (pair.partition("=") for pair in query.split("&") if pair)}
        if path == f"/{BUCKET}/":
            return self._list(parameters)
        if not path.startswith(f"/{BUCKET}/"):
            return error(404, "NoSuchBucket")
        handler: Any = getattr(self, f"_{asked.method.lower()}")
        answered: Answered = handler(path.removeprefix(f"/{BUCKET}/"), parameters, asked)
        return answered

    def _list(self, parameters: dict[str, str]) -> Answered:
        keys = [key for key in sorted(self.objects) if key.startswith(parameters["prefix"])]
        start = int(parameters.get("continuation-token", "0"))
        more = start + self.page < len(keys)
        listed = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys[start : start + self.page])
        following = f"<NextContinuationToken>{start + self.page}</NextContinuationToken>" if more else ""
        return xml(f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{listed}{following}</ListBucketResult>")

    def _post(self, key: str, parameters: dict[str, str], asked: Asked) -> Answered:
        if "uploads" in parameters:
            if "x-amz-object-lock-mode" in asked.headers and not self.locks:
                return error(400, "InvalidRequest")
            upload = f"upload+{len(self.uploads)}/="
            self.uploads[upload] = {}
            self.metadata[key] = {name: value for name, value in asked.headers.items() if name.startswith("x-amz-")}
            return xml(f"<InitiateMultipartUploadResult><Key>{key}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>")
        parts = self.uploads.pop(parameters["uploadId"])
        named = re.findall(rb"<PartNumber>(\d+)</PartNumber><ETag>(.*?)</ETag><ChecksumSHA256>(.*?)</ChecksumSHA256>", asked.body)
        if [int(number) for number, _, _ in named] != sorted(parts) or any(len(parts[number]) < 5 << 20 for number in sorted(parts)[:-1]):
            return error(400, "InvalidPart")
        self.objects[key] = b"".join(parts[number] for number in sorted(parts))
        return xml(f"<CompleteMultipartUploadResult><Key>{key}</Key></CompleteMultipartUploadResult>")

    def _put(self, key: str, parameters: dict[str, str], asked: Asked) -> Answered:
        if base64.b64decode(asked.headers["x-amz-checksum-sha256"]) != hashlib.sha256(asked.body).digest():
            return error(400, "BadDigest")
        self.uploads[parameters["uploadId"]][int(parameters["partNumber"])] = asked.body
        return xml("", etag=f'"{hashlib.md5(asked.body).hexdigest()}"')

    def _get(self, key: str, parameters: dict[str, str], asked: Asked) -> Answered:
        if key not in self.objects:
            return error(404, "NoSuchKey")
        first, last = asked.headers["range"].removeprefix("bytes=").split("-")
        return Answered(206, self.objects[key][int(first) : int(last) + 1], {"content-type": "application/octet-stream"})

    def _delete(self, key: str, parameters: dict[str, str], asked: Asked) -> Answered:
        if "uploadId" in parameters:
            self.uploads.pop(parameters["uploadId"], None)
            return Answered(204, b"")
        until = self.metadata.get(key, {}).get("x-amz-object-lock-retain-until-date")
        if until is not None and parse_rfc3339(until) > self.clock.now():
            return error(403, "AccessDenied")
        self.objects.pop(key, None)
        return Answered(204, b"")


def days(number: int) -> int:
    return number * 86_400 * SECOND
