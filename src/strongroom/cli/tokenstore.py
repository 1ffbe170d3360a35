"""Where `login` keeps the token: the token helper that Vault's configuration file names, else `~/.vault-token`.

Rules of this file:
- The file is `~/.vault`, or what VAULT_CONFIG_PATH names; the one thing it says is `token_helper = "/path/to/program"`.
- A helper is run as Vault runs it: `program get` prints the token, `program store` reads it from standard input. No shell is between.
- Without that file nothing is imported and nothing is run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from strongroom.cli import tokenfile
from strongroom.cli.errors import LOCAL, CommandError

SECONDS = 60
"""For a helper: it may ask for a finger or a passphrase."""
_MOST = 65_536


def read(environment: Mapping[str, str]) -> str:
    """The stored token, or nothing. Raises CommandError."""
    helper = _helper(environment)
    return _run(helper, "get", environment) if helper else tokenfile.read(environment)


def write(environment: Mapping[str, str], token: str) -> str:
    """Store a token and return where. Raises CommandError."""
    helper = _helper(environment)
    if not helper:
        return tokenfile.write(environment, token)
    _run(helper, "store", environment, token)
    return f"the token helper {helper}"


def _helper(environment: Mapping[str, str]) -> str:
    path = environment.get("VAULT_CONFIG_PATH") or f"{environment.get('HOME') or ''}/.vault"
    try:
        with open(path, "rb") as file:  # noqa: PTH123  pathlib would cost the CLI 4 ms
            text = file.read(_MOST).decode("utf-8", "replace")
    except OSError:
        return ""
    return _named(path, text)


def _named(path: str, text: str) -> str:
    helper = ""
    for number, line in enumerate(text.splitlines(), 1):
        key, equals, value = line.partition("=")
        value = value.strip()
        if not line.strip() or line.lstrip().startswith(("#", "//")):
            continue
        if key.strip() != "token_helper" or not equals or len(value) < 2 or value[0] != '"' or value[-1] != '"' or '"' in value[1:-1]:
            raise CommandError(f'{path}:{number}: the one thing this file may say is token_helper = "/path/to/program"', LOCAL)
        helper = value[1:-1]
    if helper and not helper.startswith("/"):
        raise CommandError(f"{path}: token_helper must be an absolute path", LOCAL)
    return helper


def _run(helper: str, verb: str, environment: Mapping[str, str], token: str = "") -> str:
    import shlex
    import subprocess

    try:
        done = subprocess.run(
            [*shlex.split(helper), verb], input=token, env=dict(environment), capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except (OSError, ValueError) as error:
        raise CommandError(f"the token helper {helper} cannot be run: {os.strerror(getattr(error, 'errno', 0) or 22)}", LOCAL) from None
    except subprocess.TimeoutExpired:
        raise CommandError(f"the token helper {helper} did not end within {SECONDS} seconds", LOCAL) from None
    if done.returncode:
        said = done.stderr.strip()[:500]
        raise CommandError(f"the token helper {helper} failed at '{verb}' with status {done.returncode}: {said}", LOCAL)
    return done.stdout.strip() if verb == "get" else ""
