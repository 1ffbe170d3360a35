"""A request as a curl command that can be pasted into a shell.

Rules of this file:
- The token is never printed: the command asks `strongroom print token` for it when it is run.
- Everything else is quoted so that no shell expands it.
"""

from __future__ import annotations

from strongroom.client.client import Prepared
from strongroom.client.settings import Settings

_TOKEN = "X-Vault-Token: $(strongroom print token)"


def command(prepared: Prepared, settings: Settings, socket_path: str = "") -> str:
    """The curl command that sends `prepared` in the way these settings would."""
    words = ["curl", *_connection(settings, socket_path)]
    if prepared.method != "GET":
        words += ["-X", prepared.method]
    for name, value in prepared.headers:
        words += ["-H", f'"{_TOKEN}"' if name == "X-Vault-Token" else quoted(f"{name}: {value}")]
    if prepared.body is not None:
        words += ["-d", quoted(prepared.body.decode("utf-8", "replace"))]
    return " ".join([*words, quoted(prepared.url)])


def _connection(settings: Settings, socket_path: str) -> list[str]:
    pairs = (
        ("--unix-socket", socket_path),
        ("--cacert", settings.ca_cert),
        ("--capath", settings.ca_path),
        ("--cert", settings.client_cert),
        ("--key", settings.client_key),
    )
    words = [word for flag, value in pairs if value for word in (flag, quoted(value))]
    return [*words, "--insecure"] if settings.skip_verify else words


def quoted(text: str) -> str:
    """One shell word: as it is when that is safe, else in single quotes."""
    safe = text.isascii() and all(character.isalnum() or character in "-_./:=@%+," for character in text)
    return text if text and safe else "'" + text.replace("'", "'\"'\"'") + "'"
