"""How to ask AWS, and as whom: config/client, config/identity, config/sts.

Rules of this file:
- The secret key is shown to nobody. Credentials come from this configuration only: the server takes none from its environment, and never
  asks a metadata service.
- An endpoint is what an administrator wrote, or one of AWS's own by region. What a client signed chooses between regions at most, and only
  where the configuration says so.
"""

from __future__ import annotations

import re
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, UnsetType

from strongroom.auth.aws.arn import check_role
from strongroom.core.engine import Engine, ListBody, delete, list_, listed, read, write
from strongroom.core.fields import Names, given
from strongroom.core.request import Response
from strongroom.errors import InvalidRequest, NotFound
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
)
EC2_METADATA: Final = ("account_id", "ami_id", "auth_type", "instance_id", "region")
DEFAULT_METADATA: Final = ("account_id", "auth_type")
_ALIASES: Final[dict[str, tuple[str, ...]]] = {"iam_alias": IAM_ALIASES, "ec2_alias": EC2_ALIASES}
_METADATA: Final[dict[str, tuple[str, ...]]] = {"iam_metadata": IAM_METADATA, "ec2_metadata": EC2_METADATA}


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The stored form of config/client."""

    access_key: str = ""
    secret_key: str = ""
    endpoint: str = ""
    iam_endpoint: str = ""
    sts_endpoint: str = ""
    sts_region: str = ""
    use_sts_region_from_client: bool = False
    iam_server_id_header_value: str = ""
    allowed_sts_header_values: tuple[str, ...] = ()
    max_retries: int = -1

    def __repr__(self) -> str:
        return f"Client({self.access_key!r})"


class ClientBody(msgspec.Struct, frozen=True, kw_only=True):
    """How to ask AWS."""

    access_key: Annotated[str | UnsetType, "The access key that IAM is asked with."] = UNSET
    secret_key: Annotated[str | UnsetType, "Its secret; never shown."] = UNSET
    endpoint: Annotated[str | UnsetType, "The EC2 endpoint; kept for clients, EC2 is not asked."] = UNSET
    iam_endpoint: Annotated[str | UnsetType, "The IAM endpoint, in place of AWS's."] = UNSET
    sts_endpoint: Annotated[str | UnsetType, "The STS endpoint, in place of https://sts.amazonaws.com."] = UNSET
    sts_region: Annotated[str | UnsetType, "The region of sts_endpoint."] = UNSET
    use_sts_region_from_client: Annotated[bool | UnsetType, "Ask the STS endpoint of the region that a login was signed for."] = UNSET
    iam_server_id_header_value: Annotated[str | UnsetType, "What logins must have signed in X-Vault-AWS-IAM-Server-ID."] = UNSET
    allowed_sts_header_values: Annotated[Names | UnsetType, "More headers that a login may have signed."] = UNSET
    max_retries: Annotated[int | UnsetType, "Kept for clients; what fails is for the caller to try again."] = UNSET


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """The stored form of config/identity."""

    iam_alias: str = "role_id"
    iam_metadata: tuple[str, ...] = DEFAULT_METADATA
    ec2_alias: str = "role_id"
    ec2_metadata: tuple[str, ...] = DEFAULT_METADATA


class IdentityBody(msgspec.Struct, frozen=True, kw_only=True):
    """What names an entity alias, and what is known of it."""

    iam_alias: Annotated[str | UnsetType, f"{', '.join(IAM_ALIASES)}."] = UNSET
    iam_metadata: Annotated[Names | UnsetType, f"default, or of {', '.join(IAM_METADATA)}."] = UNSET
    ec2_alias: Annotated[str | UnsetType, f"{', '.join(EC2_ALIASES)}; kept for clients."] = UNSET
    ec2_metadata: Annotated[Names | UnsetType, f"default, or of {', '.join(EC2_METADATA)}; kept for clients."] = UNSET


class Assumed(msgspec.Struct, frozen=True, kw_only=True):
    """A role that is assumed to ask about an account."""

    sts_role: str
    external_id: str = ""


class AssumedBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which role to assume to ask about an account."""

    sts_role: Annotated[str | UnsetType, "The role's ARN."] = UNSET
    external_id: Annotated[str | UnsetType, "The external id that its trust policy asks for."] = UNSET


class Settings(Engine):
    """The routes."""

    # -- config/client ------------------------------------------------------------------------------------------

    @read("config/client")
    def read_client(self) -> Response:
        """Show how AWS is asked, without the secret key."""
        found = self.store.get("config/client", Client)
        if found is None:
            raise NotFound
        data = {name: getattr(found, name) for name in Client.__struct_fields__ if name != "secret_key"}
        return Response(data=data, warnings=_unused(found))

    def client_exists(self) -> bool:
        """Whether a write changes the settings rather than makes them."""
        return self.store.exists("config/client")

    @write("config/client", body=ClientBody, exists="client_exists")
    def write_client(self, body: ClientBody) -> None:
        """Say how AWS is asked; what is not given stays."""
        client = msgspec.structs.replace(self.client(), **given(body))
        _check_client(client)
        self.store.put("config/client", client)

    @delete("config/client")
    def delete_client(self) -> None:
        """Forget how AWS is asked: its own endpoints, without credentials."""
        self.store.delete("config/client")

    def client(self) -> Client:
        """The settings, or their defaults."""
        return self.store.get("config/client", Client) or Client()

    # -- config/identity ----------------------------------------------------------------------------------------

    @read("config/identity")
    def read_identity(self) -> Response:
        """Show what names an alias."""
        return Response(data=msgspec.structs.asdict(self.identity()))

    @write("config/identity", body=IdentityBody)
    def write_identity(self, body: IdentityBody) -> None:
        """Say what names an alias; what is not given stays."""
        sent = given(body)
        for name, allowed in _ALIASES.items():
            if name in sent and sent[name] not in allowed:
                raise InvalidRequest(f"{name} is not in the set of allowed values: {', '.join(allowed)}")
        for name, fields in _METADATA.items():
            if name in sent:
                sent[name] = _metadata(name, sent[name], fields)
        self.store.put("config/identity", msgspec.structs.replace(self.identity(), **sent))

    def identity(self) -> Identity:
        """What names an alias."""
        return self.store.settings("config/identity", Identity) or Identity()

    # -- config/sts ---------------------------------------------------------------------------------------------

    @list_("config/sts/", body=ListBody)
    def list_assumed(self, body: ListBody) -> Response:
        """List the accounts that are asked about through a role."""
        return listed(self.store, "sts", body)

    @read("config/sts/{account_id}")
    def read_assumed(self, account_id: str) -> Response:
        """Show the role for an account."""
        found = self.assumed(_account(account_id))
        if found is None:
            raise NotFound
        return Response(data={name: value for name, value in msgspec.structs.asdict(found).items() if value})

    def assumed_exists(self, account_id: str) -> bool:
        """Whether a write changes the account's role rather than names it."""
        return self.assumed(_account(account_id)) is not None

    @write("config/sts/{account_id}", body=AssumedBody, exists="assumed_exists")
    def write_assumed(self, account_id: str, body: AssumedBody) -> None:
        """Name the role for an account."""
        account_id = _account(account_id)
        before = self.assumed(account_id)
        if before is None and body.sts_role is UNSET:
            raise InvalidRequest("missing sts role")
        found = msgspec.structs.replace(before or Assumed(sts_role=""), **given(body))
        if not found.sts_role:
            raise InvalidRequest("sts role cannot be empty")
        check_role(found.sts_role)
        self.store.put(f"sts/{account_id}", found)

    @delete("config/sts/{account_id}")
    def delete_assumed(self, account_id: str) -> None:
        """Ask about the account with the server's own credentials again."""
        self.store.delete(f"sts/{_account(account_id)}")

    def assumed(self, account_id: str) -> Assumed | None:
        """The role for an account."""
        return self.store.settings(f"sts/{account_id}", Assumed)


def _account(text: str) -> str:
    if not _ACCOUNT.fullmatch(text):
        raise InvalidRequest("an AWS account ID has twelve digits")
    return text


def _metadata(name: str, given: object, allowed: tuple[str, ...]) -> tuple[str, ...]:
    asked = given if isinstance(given, tuple) else ()
    chosen = {each for part in asked for each in (DEFAULT_METADATA if part == "default" else (part,))}
    if not chosen <= set(allowed):
        raise InvalidRequest(f"{name} contains an unavailable field, please select from: {', '.join(('default', *allowed))}")
    return tuple(sorted(chosen))


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


def _unused(client: Client) -> tuple[str, ...]:
    found = []
    for name in _ASKED:
        try:
            asked(getattr(client, name) or STS)
        except InvalidRequest:
            found.append(f"'{name}' is never asked, and logins that need it fail: only https://host[:port] is, without a path")
    return tuple(found)


def region_domain(region: str) -> str:
    """The domain of a region's endpoints: China's partition has its own."""
    return f"{region}.amazonaws.com.cn" if region.startswith("cn-") else f"{region}.amazonaws.com"
