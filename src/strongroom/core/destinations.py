"""Secrets that a configuration keeps for other hosts: the password of a directory's account, an API's token.

Rules of this file: nobody can read such a secret, and nobody who does not know it can have it sent elsewhere. Who may write a configuration
may not know what is in it: whoever changes where a secret goes sends it along, or the write is refused.
"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from strongroom.errors import InvalidRequest


def check_destination(secret: str, *, before: str, sent: str | UnsetType, moved: bool, by: str) -> None:
    """`secret` is the field's name, `before` what is kept, `by` the fields that say where it goes. Raises InvalidRequest."""
    if before and moved and sent is UNSET:
        raise InvalidRequest(f"{secret} was given for another place and is not taken along: send it, too, with a new {by}")
