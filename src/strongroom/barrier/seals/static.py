"""The seal whose key lies in a file or an environment variable: the server opens its store by itself.

    seal "static" {
      path = "/etc/strongroom/seal.key"       # or env = "STRONGROOM_SEAL_KEY"
    }

Rules of this file:
- The key is 32 bytes: raw, hex or base64. Whoever reads it and the store reads everything: keep it away from the store and its backups.
- OpenBao's names work too: `current_key` and `previous_key` as `file://…`, `env://…` or the key itself, with `current_key_id` and
  `previous_key_id`. The previous key only opens; it is there for changing keys.
- Messages name the place of a key, never its content.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from strongroom.barrier.seal import KeySeal
from strongroom.crypto.errors import InvalidRecord
from strongroom.errors import ConfigError

KEY_BYTES = 32
MAX_FILE = 1_024
"""Bytes read of a key file; a longer one is not a key."""

OPTIONS = frozenset("path env current_key current_key_id previous_key previous_key_id disabled".split())
ENVIRONMENT = ("STRONGROOM_SEAL_KEY", "BAO_STATIC_SEAL_CURRENT_KEY")


class Static(KeySeal):
    """A seal whose key the server has."""

    kind = "static"

    def __init__(self, key: bytes, key_id: str = "", previous: KeySeal | None = None) -> None:
        super().__init__(key, key_id)
        self._previous = previous

    def unwrap(self, sealed: bytes, context: bytes) -> bytearray:
        """R, under this key or the one before it. Raises InvalidRecord."""
        try:
            return super().unwrap(sealed, context)
        except InvalidRecord:
            if self._previous is None:
                raise
            return self._previous.unwrap(sealed, context)


def configured(options: Mapping[str, str]) -> Static:
    """The seal of a `seal "static"` stanza. Raises ConfigError."""
    unknown = sorted(options.keys() - OPTIONS)
    if unknown:
        raise ConfigError(f'seal "static" does not know {unknown}; it takes {sorted(OPTIONS)}')
    key = _key(_place(options))
    previous = options.get("previous_key")
    before = Static(_key(previous), options.get("previous_key_id", "")) if previous else None
    return Static(key, options.get("current_key_id", ""), before)


def _place(options: Mapping[str, str]) -> str:
    """Where the key is, as one text."""
    if options.get("path"):
        return "file://" + options["path"]
    if options.get("env"):
        return "env://" + options["env"]
    if options.get("current_key"):
        return options["current_key"]
    for name in ENVIRONMENT:
        if name in os.environ:
            return "env://" + name
    raise ConfigError('seal "static" needs a key: set path = "/…/seal.key" or env = "NAME"')


def _key(place: str) -> bytes:
    scheme, _, rest = place.partition("://")
    if scheme == "file":
        return parse_key(_read(rest), f"the file {rest}")
    if scheme == "env":
        if rest not in os.environ:
            raise ConfigError(f"the static seal's key: there is no environment variable {rest}")
        return parse_key(os.environ[rest].encode(), f"the environment variable {rest}")
    return parse_key(place.encode(), "the configuration")


def _read(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise ConfigError(f"the static seal's key: {path} cannot be read: {error.strerror}") from None


def parse_key(content: bytes, where: str) -> bytes:
    """A key of 32 bytes: raw, hex or base64. Raises ConfigError, naming the place."""
    if len(content) == KEY_BYTES:
        return content
    text = content.strip()
    try:
        key = bytes.fromhex(text.decode("ascii")) if len(text) == 2 * KEY_BYTES else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise ConfigError(f"the static seal's key: {where} holds no key of {KEY_BYTES} bytes, raw, hex or base64")
    return key
