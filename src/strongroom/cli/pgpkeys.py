"""Public keys from files, for shares that only their holders read.

Rules of this file:
- A file is what `gpg --export` writes, with armor or without, or base64 of it. What is sent is base64 of the binary key, as Vault's
  servers take it.
- A secret key is not sent anywhere: it is seen here.
- Names at keybase are not looked up, as Vault's client does: whoever answers for that service would choose who reads the shares.
"""

from __future__ import annotations

from base64 import b64encode

from strongroom.cli.errors import LOCAL, CommandError
from strongroom.cli.session import Session
from strongroom.client.values import Json

_PUBLIC, _SECRET = b"-----BEGIN PGP PUBLIC KEY BLOCK-----", b"-----BEGIN PGP PRIVATE KEY BLOCK-----"


def pgp_keys(session: Session, paths: list[str]) -> list[Json]:
    """The keys of these files, in order. Raises CommandError."""
    return [_key(path, session) for path in paths]


def _key(path: str, session: Session) -> str:
    if path.startswith("keybase:"):
        name = path.removeprefix("keybase:")
        raise CommandError(f"keybase names are not looked up; get the key of {name} from its owner and give its file", LOCAL)
    path = path.removeprefix("@")
    content = session.sources.binary(path).strip()
    if content.startswith(_SECRET):
        raise CommandError(f"{path} holds a secret key, which was not sent; export the public one: gpg --export --armor", LOCAL)
    if content.startswith(_PUBLIC):
        return _without_armor(content)
    return content.decode() if _is_base64(content) else b64encode(session.sources.binary(path)).decode()


def _without_armor(content: bytes) -> str:
    """What stands between the headers and the checksum (RFC 9580, 6.2)."""
    lines = [line.strip() for line in content.decode("utf-8", "replace").splitlines()]
    body = lines[lines.index("") + 1 :] if "" in lines else lines[1:]
    return "".join(line for line in body if not line.startswith(("-----", "=")))


def _is_base64(content: bytes) -> bool:
    """A binary key begins with a byte above 127 (RFC 9580, 4.2)."""
    return content.isascii()
