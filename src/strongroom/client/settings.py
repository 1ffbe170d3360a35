"""Everything a client is told: by its caller, by `STRONGROOM_*`, by `VAULT_*`.

Rules of this file:
- `STRONGROOM_X` wins over `VAULT_X`; an empty variable counts as not set. The table `_VARIABLES` is the whole list.
- A value is checked here, once; the message names the variable, and never shows a token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from strongroom.client.errors import BadSettings

DEFAULT_ADDRESS = "https://127.0.0.1:8200"
PREFIXES = ("STRONGROOM_", "VAULT_")
TRUTHS = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
_UNITS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class Settings(NamedTuple):
    """What a client needs to know."""

    address: str = DEFAULT_ADDRESS
    token: str = ""
    namespace: str = ""
    ca_cert: str = ""
    ca_path: str = ""
    client_cert: str = ""
    client_key: str = ""
    server_name: str = ""
    skip_verify: bool = False
    wrap_ttl: str = ""
    timeout: float = 60.0
    max_retries: int = 2
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Settings(address={self.address!r}, token={'set' if self.token else 'none'})"


_VARIABLES = {
    "address": "ADDR",
    "token": "TOKEN",
    "namespace": "NAMESPACE",
    "ca_cert": "CACERT",
    "ca_path": "CAPATH",
    "client_cert": "CLIENT_CERT",
    "client_key": "CLIENT_KEY",
    "server_name": "TLS_SERVER_NAME",
    "wrap_ttl": "WRAP_TTL",
}


def variable(name: str, environment: Mapping[str, str]) -> str:
    """`STRONGROOM_<name>`, else `VAULT_<name>`, else nothing."""
    return next((value for prefix in PREFIXES if (value := environment.get(prefix + name))), "")


def from_environment(environment: Mapping[str, str] | None = None) -> Settings:
    """Settings as the environment gives them. Raises BadSettings."""
    source = os.environ if environment is None else environment
    settings = Settings()
    for field, name in _VARIABLES.items():
        if value := variable(name, source):
            settings = settings._replace(**{field: value})  # type: ignore[arg-type]  # every field in the table is a text
    if skip := variable("SKIP_VERIFY", source):
        settings = settings._replace(skip_verify=truth(skip, "VAULT_SKIP_VERIFY"))
    if timeout := variable("CLIENT_TIMEOUT", source):
        settings = settings._replace(timeout=seconds(timeout, "VAULT_CLIENT_TIMEOUT"))
    if retries := variable("MAX_RETRIES", source):
        settings = settings._replace(max_retries=_count(retries, "VAULT_MAX_RETRIES"))
    return settings


def truth(text: str, name: str) -> bool:
    """Read a switch as Go does: 1, t, true, 0, f, false in any case. Raises BadSettings."""
    value = TRUTHS.get(text.lower())
    if value is None:
        raise BadSettings(f"{name} must be true or false")
    return value


def seconds(text: str, name: str) -> float:
    """Read `90`, `1m30s` or `250ms`. Raises BadSettings."""
    total, digits, unit = 0.0, "", ""
    for character in text.strip() + "\0":
        if (character.isascii() and character.isdigit()) or character in ".\0":
            if unit:
                total, digits, unit = total + _span(digits, unit, name), "", ""
            digits += character
        else:
            unit += character
    rest = digits.rstrip("\0")
    total += _span(rest, "s", name) if rest else 0.0
    if total <= 0:
        raise BadSettings(f"{name} must be longer than nothing, such as 60 or 1m30s")
    return total


def _span(digits: str, unit: str, name: str) -> float:
    try:
        return float(digits) * _UNITS[unit]
    except (ValueError, KeyError):
        raise BadSettings(f"{name} must be seconds or a duration such as 1m30s") from None


def _count(text: str, name: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 4):
        raise BadSettings(f"{name} must be a whole number from 0 to 999")
    return int(text)
