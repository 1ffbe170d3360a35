"""Which cluster a mount belongs to: its address, whom to trust there, and as whom to ask.

Rules of this file:
- The reviewer's token is shown to nobody; a read says whether there is one.
- In a pod the server may ask with its own service account, as Vault does, unless `disable_local_ca_jwt` says otherwise. That token goes
  only to an API server that the pod's own CA vouches for, and never from a mount of a tenant: whoever may configure a mount could have
  it sent to himself otherwise.
- A CA text without a certificate is refused: no API server would be trusted and every login fail.
- Files are read from the fixed places where Kubernetes puts them; no field is a path.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from strongroom.core.fields import Names
from strongroom.core.forms import HiddenText
from strongroom.crypto import jwk
from strongroom.crypto.errors import UnusableKey
from strongroom.errors import InvalidRequest
from strongroom.outbound.tls import MAX_PEM, check_authorities
from strongroom.outbound.url import base_url

LOCAL: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds `ca.crt` and `token` (Kubernetes documentation, "Accessing the API from within a pod")."""

_BEARER: Final = re.compile(r"[!-~]{1,65536}", re.ASCII)
"""What an API server is asked with. It need not be a JWT: clusters have static tokens, too."""

DEFAULT_ISSUER = "kubernetes/serviceaccount"

IN_CLEAR = "'kubernetes_host' begins with http://, where no token is sent: every login fails. Write https://"


class Config(msgspec.Struct, frozen=True, kw_only=True):
    """The stored form."""

    host: str
    ca_cert: str = ""
    reviewer_jwt: HiddenText = ""
    pem_keys: tuple[str, ...] = ()
    issuer: str = ""
    disable_iss_validation: bool = True
    disable_local_ca_jwt: bool = False
    use_annotations_as_alias_metadata: bool = False

    def __repr__(self) -> str:
        return f"Config({self.host!r})"


class Access(msgspec.Struct, frozen=True):
    """How to ask the cluster. `token` is "" where a login asks with its own token; `ca_pem` "" means the system's roots."""

    url: str
    ca_pem: str
    token: str

    def __repr__(self) -> str:
        return f"Access({self.url!r})"


class ConfigBody(msgspec.Struct, frozen=True, kw_only=True):
    """What the configuration is written with; it replaces the one before."""

    kubernetes_host: Annotated[str, "The cluster's API server: a host, host:port, or an https:// URL."] = ""
    kubernetes_ca_cert: Annotated[str, "PEM certificates that the API server's is verified with, in place of the system's."] = ""
    token_reviewer_jwt: Annotated[str, "A service account's token to ask with. Without one, a login's own token is used."] = ""
    pem_keys: Annotated[Names, "PEM public keys or certificates that tokens must be signed by, besides what the cluster says."] = Names()
    issuer: Annotated[str, "The issuer of tokens, where it is validated; by default kubernetes/serviceaccount."] = ""
    disable_iss_validation: Annotated[bool, "Do not look at the issuer: the cluster does."] = True
    disable_local_ca_jwt: Annotated[bool, "In a pod, do not use the pod's own CA and service account token."] = False
    use_annotations_as_alias_metadata: Annotated[
        bool, "Put the service account's annotations vault.hashicorp.com/alias-metadata-* on the entity alias."
    ] = False


_FIELDS: Final = {
    "host": "kubernetes_host",
    "ca_cert": "kubernetes_ca_cert",
    "pem_keys": "pem_keys",
    "issuer": "issuer",
    "disable_iss_validation": "disable_iss_validation",
    "disable_local_ca_jwt": "disable_local_ca_jwt",
    "use_annotations_as_alias_metadata": "use_annotations_as_alias_metadata",
}
"""The stored name of each field that is told."""


def changed_config(_before: Config | None, body: ConfigBody) -> Config:
    """The configuration after a write, which replaces it. Raises InvalidRequest."""
    if not body.kubernetes_host:
        raise InvalidRequest("no host provided")
    fields = {stored: getattr(body, sent) for stored, sent in _FIELDS.items()} | {"pem_keys": tuple(map(str.strip, body.pem_keys))}
    config = Config(**fields, reviewer_jwt=body.token_reviewer_jwt.strip())
    _check(config)
    return config


def shown_config(config: Config) -> dict[str, Any]:
    """The members of a read: of the reviewer's token only that there is one."""
    members = {sent: getattr(config, stored) for stored, sent in _FIELDS.items()}
    return members | {"token_reviewer_jwt_set": bool(config.reviewer_jwt)}


def access_of(config: Config, *, tenant: bool) -> Access:
    """How to ask the cluster of a mount, which may be a tenant's."""
    local_ca = "" if config.disable_local_ca_jwt or tenant else _local("ca.crt")
    ca_pem = config.ca_cert or local_ca
    vouched = local_ca and ca_pem.split() == local_ca.split()
    return Access(_url(config.host), ca_pem, config.reviewer_jwt or (_local("token") if vouched else ""))


def _local(name: str) -> str:
    """A file of the pod's service account; "" outside a pod."""
    try:
        return (LOCAL / name).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _url(host: str, *, plaintext: bool = False) -> str:
    """The API server's. Raises InvalidRequest."""
    return base_url(host if "://" in host else f"https://{host}", "kubernetes_host", plaintext=plaintext)


def public_keys(config: Config) -> tuple[jwk.Key, ...]:
    """The keys that tokens must be signed by. Raises InvalidRequest."""
    try:
        return tuple(jwk.from_pem(pem) for pem in config.pem_keys)
    except UnusableKey:
        raise InvalidRequest("data does not contain any valid RSA or ECDSA public keys") from None


def _check(config: Config) -> None:
    _url(config.host, plaintext=True)
    public_keys(config)
    if len(config.ca_cert) > MAX_PEM:
        raise InvalidRequest(f"'kubernetes_ca_cert' has more than {MAX_PEM} characters")
    try:
        check_authorities(config.ca_cert, "kubernetes_ca_cert")
    except InvalidRequest:
        raise InvalidRequest("The provided CA PEM data contains no valid certificates") from None
    if config.reviewer_jwt and not _BEARER.fullmatch(config.reviewer_jwt):
        raise InvalidRequest("'token_reviewer_jwt' is a token: printable ASCII without spaces")


def warnings(config: Config) -> tuple[str, ...]:
    """Why nobody can log in under a configuration that is kept all the same: tools read back what they wrote."""
    return (IN_CLEAR,) if config.host.startswith("http://") else ()
