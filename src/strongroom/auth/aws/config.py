"""How to ask AWS, and as whom: config/client, config/identity, config/sts.

Rules of this file:
- The secret key is shown to nobody. Credentials come from this configuration only: the server takes none from its environment, and never
  asks a metadata service.
- An endpoint is what an administrator wrote, or one of AWS's own by region. What a client signed chooses between regions at most, and only
  where the configuration says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec

from strongroom.auth.aws.arn import check_role
from strongroom.core.configuration import Configuration
from strongroom.core.engine import Engine
from strongroom.core.entries import Entries
from strongroom.core.fields import given
from strongroom.core.forms import Duration, HiddenText, NameList, Reads, members, merged, one_of, some_of
from strongroom.errors import InvalidRequest
from strongroom.outbound.url import parse_url

STS: Final = "https://sts.amazonaws.com"
GLOBAL_REGION: Final = "us-east-1"
"""The region that the global endpoint's requests are signed for."""

REGION: Final = re.compile(r"[a-z]{2}(?:-[a-z]{2,16}){1,2}-\d{1,2}", re.ASCII)

_ACCOUNT = re.compile(r"\d{12}", re.ASCII)
_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_SIGNED_REGION = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?", re.ASCII)
"""What stands in a signature's scope, for an endpoint that need not be AWS's own."""
_ACCESS_KEY = re.compile(r"\w{0,128}", re.ASCII)

IAM_ALIASES: Final = ("role_id", "unique_id", "canonical_arn", "full_arn")
EC2_ALIASES: Final = ("role_id", "instance_id", "image_id")
IAM_METADATA: Final = (
    "account_id",
    "auth_type",
    "canonical_arn",
    "client_arn",
    "client_user_id",
    "inferred_aws_region",
    "inferred_entity_id",
    "inferred_entity_type",
    "inferred_hostname",
)
EC2_METADATA: Final = ("account_id", "ami_id", "auth_type", "instance_id", "region")
DEFAULT_METADATA: Final = ("account_id", "auth_type")


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """How AWS is asked."""

    access_key: Annotated[str, "The access key that IAM is asked with."] = ""
    secret_key: Annotated[HiddenText, "Its secret; never shown."] = ""
    endpoint: Annotated[str, "The EC2 endpoint; kept for clients, EC2 is not asked."] = ""
    iam_endpoint: Annotated[str, "The IAM endpoint, in place of AWS's."] = ""
    sts_endpoint: Annotated[str, "The STS endpoint, in place of https://sts.amazonaws.com."] = ""
    sts_region: Annotated[str, "The region of sts_endpoint."] = ""
    use_sts_region_from_client: Annotated[bool, "Ask the STS endpoint of the region that a login was signed for."] = False
    iam_server_id_header_value: Annotated[str, "What logins must have signed in X-Vault-AWS-IAM-Server-ID."] = ""
    allowed_sts_header_values: Annotated[NameList, "More headers that a login may have signed."] = ()
    max_retries: Annotated[int, "Kept for clients; what fails is for the caller to try again."] = -1
    role_arn: Annotated[str, "Kept for clients that read it back; no identity tokens are made to assume it."] = ""
    identity_token_audience: Annotated[str, "Kept for clients that read it back."] = ""
    identity_token_ttl: Annotated[Duration, "Kept for clients that read it back."] = 0

    def __repr__(self) -> str:
        return f"Client({self.access_key!r})"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What names an entity alias, and what is known of it."""

    iam_alias: Annotated[str, f"{', '.join(IAM_ALIASES)}."] = "role_id"
    iam_metadata: Annotated[NameList, f"default, or of {', '.join(IAM_METADATA)}."] = DEFAULT_METADATA
    ec2_alias: Annotated[str, f"{', '.join(EC2_ALIASES)}; kept for clients."] = "role_id"
    ec2_metadata: Annotated[NameList, f"default, or of {', '.join(EC2_METADATA)}; kept for clients."] = DEFAULT_METADATA


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """A role that is assumed to ask about an account."""

    sts_role: Annotated[str, "The role's ARN."]
    external_id: Annotated[str, "The external id that its trust policy asks for."] = ""


def changed_client(before: Client | None, body: msgspec.Struct) -> Client:
    """How AWS is asked after a write. Raises InvalidRequest."""
    client = merged(before or Client(), body)
    _check_client(client)
    return client


def changed_identity(before: Identity | None, body: msgspec.Struct) -> Identity:
    """What names an alias after a write. Raises InvalidRequest."""
    return merged(before or Identity(), body, _IDENTITY_READS)


def changed_assumed(before: Assumed | None, body: msgspec.Struct) -> Assumed:
    """The role for an account after a write. Raises InvalidRequest."""
    if before is None and "sts_role" not in given(body):
        raise InvalidRequest("missing sts role")
    found = merged(before or Assumed(sts_role=""), body)
    if not found.sts_role:
        raise InvalidRequest("sts role cannot be empty")
    check_role(found.sts_role)
    return found


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise InvalidRequest("an AWS account ID has twelve digits")
    return text


def _alias(name: str, allowed: tuple[str, ...]) -> Callable[[str], str]:
    return one_of(allowed, f"{name} is not in the set of allowed values: {', '.join(allowed)}")


def _metadata(name: str, known: tuple[str, ...]) -> Callable[[tuple[str, ...]], tuple[str, ...]]:
    says = f"{name} contains an unavailable field, please select from: {', '.join(('default', *known))}"
    return some_of(known, DEFAULT_METADATA, says)


_IDENTITY_READS: Final[Reads] = {
    "iam_alias": _alias("iam_alias", IAM_ALIASES),
    "ec2_alias": _alias("ec2_alias", EC2_ALIASES),
    "iam_metadata": _metadata("iam_metadata", IAM_METADATA),
    "ec2_metadata": _metadata("ec2_metadata", EC2_METADATA),
}


def _check_client(client: Client) -> None:
    for name in ("endpoint", *_ASKED):
        if getattr(client, name):
            parse_url(getattr(client, name), plaintext=True)
    if client.sts_region and not _SIGNED_REGION.fullmatch(client.sts_region):
        raise InvalidRequest("'sts_region' is a region such as eu-west-1")
    if not _ACCESS_KEY.fullmatch(client.access_key):
        raise InvalidRequest("'access_key' is not an access key id")
    if not all(_HEADER.fullmatch(name) for name in client.allowed_sts_header_values):
        raise InvalidRequest("'allowed_sts_header_values' are names of headers")
    if not (client.iam_server_id_header_value.isascii() and client.iam_server_id_header_value.isprintable()):
        raise InvalidRequest("'iam_server_id_header_value' is printable ASCII")


_ASKED: Final = ("iam_endpoint", "sts_endpoint")


def asked(endpoint: str) -> str:
    """An endpoint as requests to it are signed. Raises InvalidRequest for one that is kept for whoever wrote it, and never asked."""
    if parse_url(endpoint).target != "/":
        raise InvalidRequest("an endpoint that is asked is https://host[:port], without a path; change it in config/client")
    return endpoint.rstrip("/")


def shown_client(client: Client) -> dict[str, Any]:
    """The members of a read."""
    return members(client) | {"allowed_sts_header_values": client.allowed_sts_header_values or None}


def _unused(client: Client) -> tuple[str, ...]:
    found = []
    for name in _ASKED:
        try:
            asked(getattr(client, name) or STS)
        except InvalidRequest:
            found.append(f"'{name}' is never asked, and logins that need it fail: only https://host[:port] is, without a path")
    if client.role_arn:
        found.append(
            "'role_arn' is never assumed: IAM is asked with access_key and secret_key, and about other accounts as config/sts says"
        )
    return tuple(found)


def region_domain(region: str) -> str:
    """The domain of a region's endpoints: China's partition has its own."""
    return f"{region}.amazonaws.com.cn" if region.startswith("cn-") else f"{region}.amazonaws.com"


class Settings(Engine):
    """The rows, and their routes."""

    client = Configuration(
        Client,
        pattern="config/client",
        changed=changed_client,
        told=shown_client,
        deletes=True,
        read_warnings=_unused,
        says={
            "read": "Show how AWS is asked, without the secret key.",
            "write": "Say how AWS is asked; what is not given stays.",
            "delete": "Forget how AWS is asked: its own endpoints, without credentials.",
        },
    )
    identity = Configuration(
        Identity,
        pattern="config/identity",
        changed=changed_identity,
        default=Identity(),
        creates=False,
        says={"read": "Show what names an alias.", "write": "Say what names an alias; what is not given stays."},
    )
    assumed = Entries(
        Assumed,
        pattern="config/sts/{account_id}",
        folder="sts",
        noun="account",
        name=_account,
        changed=changed_assumed,
        told=lambda assumed: {name: value for name, value in members(assumed).items() if value},
        ends="",
        says={
            "list": "List the accounts that are asked about through a role.",
            "read": "Show the role for an account.",
            "write": "Name the role for an account.",
            "delete": "Ask about the account with the server's own credentials again.",
        },
    )
