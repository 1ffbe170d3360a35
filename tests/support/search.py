"""Looking for a text in bytes, whatever it was turned into on the way there.

Rules of this file: a canary is `marker + number`; the marker is random, alphanumeric and 16 bytes long, so a search for the marker finds
all canaries of a run, cut ones too, and its URL-encoded and JSON-escaped forms are the raw one unless somebody encodes letters.
"""

from __future__ import annotations

import base64
import secrets
import string
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

MARKER_BYTES = 16
ALPHABET = string.ascii_letters + string.digits


class Canaries:
    """Texts that occur nowhere else."""

    def __init__(self, prefix: str) -> None:
        self.marker = prefix + "".join(secrets.choice(ALPHABET) for _ in range(MARKER_BYTES - len(prefix)))
        self.used = 0

    def new(self) -> str:
        """A unique one."""
        self.used += 1
        return f"{self.marker}{self.used:06d}"

    def awkward(self) -> str:
        """A unique one with characters around it that JSON and URLs escape."""
        return f'"ü/{self.new()}\\+ é'


def forms(text: str) -> dict[str, bytes]:
    """Everything that a text may look like."""
    raw = text.encode()
    found = {
        "raw": raw,
        "reversed": raw[::-1],
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "utf-16": text.encode("utf-16-le"),
        "percent": "".join(f"%{byte:02X}" for byte in raw).encode(),
        "percent, lower": "".join(f"%{byte:02x}" for byte in raw).encode(),
        "escaped": "".join(f"\\u{byte:04x}" for byte in raw).encode(),
    }
    for offset in range(3):
        for name, encode in (("base64", base64.b64encode), ("base64url", base64.urlsafe_b64encode)):
            encoded = encode(b"\0" * offset + raw)
            found[f"{name}+{offset}"] = encoded[-(-offset * 8 // 6) : (offset + len(raw)) * 8 // 6]
    return found


class Hit(NamedTuple):
    """Where a text was found, and as what."""

    where: str
    form: str
    around: bytes


def search(haystacks: Mapping[str, bytes], marker: str) -> list[Hit]:
    """Every haystack that holds the marker in any form."""
    wanted = forms(marker)
    hits = []
    for where, content in haystacks.items():
        for form, needle in wanted.items():
            at = content.find(needle)
            if at >= 0:
                hits.append(Hit(where, form, content[max(0, at - 60) : at + 100]))
    return hits


def files(directory: Path, without: Iterable[Path] = ()) -> dict[str, bytes]:
    """All files below a directory."""
    left_out = set(without)
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path not in left_out
    }
