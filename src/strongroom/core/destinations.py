"""Secrets that a configuration keeps for other hosts: the password of a directory's account, an API's token.

Rules of this file: nobody can read such a secret, and nobody who does not know it can have it sent elsewhere. Who may write a configuration
may not know what is in it: whoever changes where a secret goes sends it along, or the write is refused.
"""

from __future__ import annotations

import msgspec

from strongroom.core.fields import given
from strongroom.errors import InvalidRequest


def check_destination(secret: str, before: msgspec.Struct, body: msgspec.Struct, *, moved: bool, by: str, old: str = "") -> None:
    """`secret` is the field of a configuration, `old` its old name; `by` are the fields that say where it goes. Raises InvalidRequest."""
    sent = given(body)
    if moved and getattr(before, secret) and secret not in sent and old not in sent:
        raise InvalidRequest(f"{secret} was given for another place and is not taken along: send it, too, with a new {by}")
