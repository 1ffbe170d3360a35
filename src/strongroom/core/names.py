"""Names that callers choose, in their one form: what is looked up, stored, counted and audited is the same text.

Rules of this file:
- A name is ASCII or refused; nothing is trimmed, folded or normalised beyond ASCII lower case. Unicode has several spellings of what
  looks the same, and two components that fold differently are how lockouts and second factors were got round.
"""

from __future__ import annotations

import re
from typing import Final

from strongroom.errors import InvalidRequest

MAX_SUBJECT: Final = 512
"""Characters of what an issuer calls somebody. OpenID Connect allows 255 for `sub`; paths of repositories in it are longer."""

_ROLE: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]{0,126}[a-z0-9_])?", re.ASCII)
_SUBJECT: Final = re.compile(r"[!-~](?:[ -~]*[!-~])?", re.ASCII)


def role_name(text: str) -> str:
    """A role's name: ASCII lower case. Raises InvalidRequest."""
    name = text.lower() if text.isascii() else ""
    if not _ROLE.fullmatch(name):
        raise InvalidRequest("a role's name is made of up to 128 ASCII letters, digits and _ . - and neither begins nor ends with . or -")
    return name


def subject_name(text: str) -> str:
    """What an outside issuer calls somebody, as it is: it counts with case, since issuers say that it does. Raises InvalidRequest."""
    if len(text) > MAX_SUBJECT or not _SUBJECT.fullmatch(text):
        raise InvalidRequest(f"the name of the user is made of up to {MAX_SUBJECT} printable ASCII characters; choose another user claim")
    return text
