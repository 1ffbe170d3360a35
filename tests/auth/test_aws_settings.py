"""aws: what administrators write is checked with Vault's sentences, read back, and secret where it is."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from strongroom.auth.aws import lists
from strongroom.auth.aws.config import asked
from strongroom.auth.aws.roles import NOBODY
from strongroom.clock import SystemClock
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, NotFound
from strongroom.server.certificates import make_authority
from strongroom.testing import Strongroom

AUTH = "auth/aws/"
ARN = "arn:aws:iam::123456789012:user/alice"
DAY = 86_400


@pytest.fixture
def room() -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/aws", {"type": "aws"})
    return room


def data(room: Strongroom, path: str) -> Any:
    return room.json(room.read(AUTH + path))


def missing(room: Strongroom, path: str) -> None:
    with pytest.raises(NotFound):
        room.read(AUTH + path)


# -- how AWS is asked -----------------------------------------------------------------------------------------------------------------

CLIENT: dict[str, Any] = {
    "access_key": "AKIAEXAMPLE",
    "endpoint": "https://ec2.eu-west-1.amazonaws.com",
    "iam_endpoint": "https://iam.amazonaws.com",
    "sts_endpoint": "https://sts.eu-west-1.amazonaws.com",
    "sts_region": "eu-west-1",
    "use_sts_region_from_client": True,
    "iam_server_id_header_value": "vault.example.com",
    "allowed_sts_header_values": ["X-Custom-Header"],
    "max_retries": 3,
    "role_arn": "",
    "identity_token_audience": "aws.example",
    "identity_token_ttl": 600,
}


def test_the_client_settings_are_read_back_without_the_secret_key(room: Strongroom) -> None:
    missing(room, "config/client")
    room.write(AUTH + "config/client", {**CLIENT, "secret_key": "very-secret"})
    assert data(room, "config/client") == CLIENT
    room.write(AUTH + "config/client", {"sts_region": "eu-west-2"})
    assert data(room, "config/client") == CLIENT | {"sts_region": "eu-west-2"}
    room.delete(AUTH + "config/client")
    missing(room, "config/client")


def test_a_role_that_is_never_assumed_is_kept_and_said_when_it_is_read(room: Strongroom) -> None:
    room.write(AUTH + "config/client", {"role_arn": "arn:aws:iam::123456789012:role/asking"})
    answer = room.read(AUTH + "config/client")
    assert room.json(answer)["role_arn"].endswith("asking") and "'role_arn'" in answer.warnings[0]
    assert room.json(answer)["allowed_sts_header_values"] is None


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"sts_endpoint": "ftp://sts.amazonaws.com"}, "https://"),
        ({"iam_endpoint": "https://user@iam.amazonaws.com"}, "URL"),
        ({"endpoint": "ec2"}, "URL"),
        ({"sts_region": "eu west"}, "region"),
        ({"access_key": "a b"}, "access key"),
        ({"allowed_sts_header_values": ["a b"]}, "names of headers"),
        ({"iam_server_id_header_value": "a\nb"}, "printable"),
    ],
)
def test_settings_that_cannot_be_right_are_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        room.write(AUTH + "config/client", fields)
    missing(room, "config/client")


@pytest.mark.parametrize("endpoint", ["http://sts.example", "https://sts.example/path"])
@pytest.mark.parametrize("name", ["sts_endpoint", "iam_endpoint"])
def test_an_endpoint_that_is_never_asked_is_kept_and_said_when_it_is_read(room: Strongroom, name: str, endpoint: str) -> None:
    room.write(AUTH + "config/client", {name: endpoint, "endpoint": endpoint, "sts_region": "test"})
    answer = room.read(AUTH + "config/client")
    assert room.json(answer)[name] == endpoint and [each.split()[0] for each in answer.warnings] == [f"'{name}'"]
    with pytest.raises(InvalidRequest, match="https://"):
        asked(endpoint)
    room.write(AUTH + "config/client", {name: "https://sts.example/"})
    assert room.read(AUTH + "config/client").warnings == () and asked("https://sts.example/") == "https://sts.example"


def test_what_names_an_alias_is_read_back(room: Strongroom) -> None:
    default = {"iam_alias": "role_id", "iam_metadata": ["account_id", "auth_type"], "ec2_alias": "role_id"}
    assert data(room, "config/identity") == default | {"ec2_metadata": ["account_id", "auth_type"]}
    fields = {
        "iam_alias": "full_arn",
        "ec2_alias": "image_id",
        "iam_metadata": "default,client_arn,inferred_hostname",
        "ec2_metadata": ["region"],
    }
    room.write(AUTH + "config/identity", fields)
    expected = {"iam_metadata": ["account_id", "auth_type", "client_arn", "inferred_hostname"], "ec2_metadata": ["region"]}
    assert data(room, "config/identity") == fields | expected
    for wrong in ({"iam_alias": "nothing"}, {"ec2_alias": "full_arn"}, {"iam_metadata": "region"}, {"ec2_metadata": "client_arn"}):
        with pytest.raises(InvalidRequest, match=next(iter(wrong))):
            room.write(AUTH + "config/identity", wrong)
    assert data(room, "config/identity") == fields | expected


def test_roles_for_accounts_are_kept(room: Strongroom) -> None:
    path = AUTH + "config/sts/111122223333"
    with pytest.raises(InvalidRequest, match="missing sts role"):
        room.write(path, {})
    for wrong, text in (("", "sts role cannot be empty"), ("arn:aws:iam::1:role/x", "role/<name>"), (ARN, "role/<name>")):
        with pytest.raises(InvalidRequest, match=text):
            room.write(path, {"sts_role": wrong})
    room.write(path, {"sts_role": "arn:aws:iam::111122223333:role/asked"})
    assert data(room, "config/sts/111122223333") == {"sts_role": "arn:aws:iam::111122223333:role/asked"}
    room.write(path, {"external_id": "x"})
    assert data(room, "config/sts/111122223333")["external_id"] == "x"
    assert room.list(AUTH + "config/sts") == ["111122223333"]
    room.delete(path)
    missing(room, "config/sts/111122223333")
    with pytest.raises(InvalidRequest, match="twelve digits"):
        room.read(AUTH + "config/sts/12345")


# -- roles ----------------------------------------------------------------------------------------------------------------------------


def test_a_role_is_read_back_as_written(room: Strongroom) -> None:
    fields: dict[str, Any] = {
        "auth_type": "ec2",
        "bound_ami_id": ["ami-1", "ami-2"],
        "bound_account_id": ["123456789012"],
        "bound_region": ["eu-west-1"],
        "bound_vpc_id": ["vpc-1"],
        "bound_subnet_id": ["subnet-1"],
        "bound_ec2_instance_id": ["i-1"],
        "bound_iam_role_arn": ["arn:aws:iam::123456789012:role/x*"],
        "bound_iam_instance_profile_arn": ["arn:aws:iam::123456789012:instance-profile/x"],
        "role_tag": "StrongroomRole",
        "disallow_reauthentication": True,
        "token_ttl": 60,
        "token_max_ttl": 120,
        "token_policies": ["a"],
        "token_num_uses": 2,
    }
    room.write(AUTH + "role/Instances", fields)
    found = data(room, "role/instances")
    assert {name: found[name] for name in fields} == fields
    assert found["bound_iam_principal_arn"] == [] and not {"ttl", "max_ttl", "policies"} & set(found)
    role_id = found["role_id"]
    room.write(AUTH + "role/instances", {"disallow_reauthentication": False, "allow_instance_migration": True, "ttl": "90s"})
    changed = data(room, "role/instances")
    assert changed["ttl"] == 90, "who writes by the old name reads it, too"
    assert (changed["role_id"], changed["token_ttl"], changed["allow_instance_migration"]) == (role_id, 90, True)
    assert room.list(AUTH + "role") == room.list(AUTH + "roles") == ["instances"]
    room.delete(AUTH + "role/instances")
    missing(room, "role/instances")


IAM = {"auth_type": "iam", "bound_iam_principal_arn": ARN, "resolve_aws_unique_ids": False}
EC2 = {"auth_type": "ec2", "bound_ami_id": "ami-1"}
INFERRED = {"inferred_entity_type": "ec2_instance", "inferred_aws_region": "us-east-1", "bound_ami_id": "ami-1"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "at least one bound parameter should be specified on the role"),
        (IAM | {"auth_type": "other"}, "unrecognized auth_type"),
        (IAM | {"bound_ami_id": "x"}, "specified bound_ami_id but not specifying ec2 auth_type or inferring ec2_instance"),
        (IAM | {"bound_account_id": "x"}, "specified bound_account_id but not specifying ec2 auth_type or inferring ec2_instance"),
        (IAM | {"bound_vpc_id": "x"}, "specified bound_vpc_id but not specifying ec2 auth_type or inferring ec2_instance"),
        (IAM | {"bound_subnet_id": "x"}, "specified bound_subnet_id but not specifying ec2 auth_type or inferring ec2_instance"),
        (IAM | {"bound_ec2_instance_id": "x"}, "specified bound_ec2_instance_id but not"),
        (IAM | {"bound_iam_role_arn": "x"}, "specified bound_iam_role_arn but not"),
        (IAM | {"bound_iam_instance_profile_arn": "x"}, "specified bound_iam_instance_profile_arn but not"),
        (INFERRED | {"bound_region": "x"}, "specified bound_region but not specifying ec2 auth_type"),
        (EC2 | {"bound_iam_principal_arn": ARN}, "specified bound_iam_principal_arn but not specifying iam auth_type"),
        (EC2 | INFERRED, "specified inferred_entity_type but didn't allow iam auth_type"),
        (INFERRED | {"inferred_entity_type": "x"}, "specified invalid inferred_entity_type"),
        (IAM | {"inferred_entity_type": "ec2_instance"}, "specified inferred_entity_type but not inferred_aws_region"),
        (IAM | {"inferred_aws_region": "us-east-1"}, "specified inferred_aws_region but not inferred_entity_type"),
        (IAM | {"disallow_reauthentication": False}, "specified disallow_reauthentication when not using ec2 auth type"),
        (IAM | {"allow_instance_migration": True}, "specified allow_instance_migration when not using ec2 auth type"),
        (IAM | {"role_tag": "x"}, "tried to enable role_tag when not using ec2 auth method"),
        (EC2 | {"role_tag": "x" * 128}, "127 characters"),
        (EC2 | {"disallow_reauthentication": True, "allow_instance_migration": True}, "cannot specify both disallow_reauthentication=true"),
        (IAM | {"bound_iam_principal_arn": "alice"}, "bound_iam_principal_arn is arn:aws:iam"),
        (IAM | {"bound_iam_principal_arn": [f"{ARN}{number}" for number in range(65)]}, "at most 64 principals"),
        (IAM | {"token_ttl": 20, "token_max_ttl": 10}, "token_ttl"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        room.write(AUTH + "role/wrong", fields)
    missing(room, "role/wrong")
    for good in (IAM, EC2, INFERRED):  # the control
        room.write(AUTH + "role/right", good)
        room.delete(AUTH + "role/right")


def test_what_a_role_is_first_written_with_stays(room: Strongroom) -> None:
    room.write(AUTH + "role/x", EC2)
    with pytest.raises(InvalidRequest, match="changing auth_type on a role is not allowed"):
        room.write(AUTH + "role/x", {"auth_type": "iam"})
    with pytest.raises(InvalidRequest, match="changing resolve_aws_unique_ids from true to false is not allowed"):
        room.write(AUTH + "role/x", {"resolve_aws_unique_ids": False})


def test_times_beyond_the_mounts_are_warned_of(room: Strongroom) -> None:
    warnings = room.write(AUTH + "role/x", EC2 | {"token_ttl": "800h", "token_max_ttl": "800h"}).warnings
    said = "Given {0} of 2880000 seconds greater than current mount/system default of 2764800 seconds; {0} will be capped at login time"
    assert warnings == (said.format("ttl"), said.format("max ttl"), NOBODY)


@pytest.mark.parametrize("fields", [EC2, IAM | INFERRED])
def test_a_role_that_nobody_gets_is_told_of_when_it_is_written(room: Strongroom, fields: dict[str, Any]) -> None:
    assert room.write(AUTH + "role/y", fields).warnings == (NOBODY,)
    assert room.write(AUTH + "role/z", IAM).warnings == ()


# -- tags and the deny list -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tagged(room: Strongroom) -> Strongroom:
    room.write(AUTH + "role/x", EC2 | {"role_tag": "StrongroomRole", "token_policies": "a,b", "token_max_ttl": "1h"})
    return room


def tag(room: Strongroom, **fields: Any) -> str:
    return str(room.json(room.write(AUTH + "role/x/tag", fields))["tag_value"])


def test_a_tag_says_how_it_narrows_its_role(tagged: Strongroom) -> None:
    made = tagged.json(
        tagged.write(AUTH + "role/x/tag", {"policies": "b", "max_ttl": "5m", "instance_id": "i-0AB", "disallow_reauthentication": True})
    )
    assert made["tag_key"] == "StrongroomRole"
    version, nonce, *rest, mac = made["tag_value"].split(":")
    assert (version, len(nonce), rest, len(mac)) == ("v1", 12, ["r=x", "d=true", "m=false", "p=b", "i=i-0ab", "t=300"], 44)
    assert tag(tagged) != tag(tagged)
    assert len(tagged.write(AUTH + "role/x/tag", {"policies": "c", "max_ttl": "2h", "allow_instance_migration": True}).warnings) == 3


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"disallow_reauthentication": True, "allow_instance_migration": True}, "cannot set both"),
        ({"max_ttl": -1}, "not negative"),
        ({"policies": ["p" * 60, "q" * 60, "r" * 60]}, "limit of 255 characters"),
        ({"instance_id": "i:r=y"}, "id of an instance"),
    ],
)
def test_a_tag_that_cannot_be_is_not_made(tagged: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        tagged.write(AUTH + "role/x/tag", fields)


def test_tags_are_for_roles_that_have_them(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="entry not found for role x"):
        room.write(AUTH + "role/x/tag", {})
    room.write(AUTH + "role/x", EC2)
    with pytest.raises(InvalidRequest, match="tag creation is not enabled for this role"):
        room.write(AUTH + "role/x/tag", {})


@pytest.mark.parametrize("path", ["roletag-denylist", "roletag-blacklist"])
def test_only_our_own_tags_are_denied(tagged: Strongroom, path: str) -> None:
    value = tag(tagged, max_ttl="5m")
    forms = [value, b64encode(value.encode()).decode()]
    for form in forms:
        tagged.write(f"{AUTH}{path}/{form}", {})
        found = data(tagged, f"{path}/{form}")
        assert found["creation_time"] < found["expiration_time"] and tagged.list(AUTH + path) == [value]
        tagged.delete(f"{AUTH}{path}/{form}")
        missing(tagged, f"{path}/{form}")
    for forged in (
        value.replace("t=300", "t=301"),
        value.replace("d=false", "d=true"),
        value[:-4],
        "v1:x:r=x:y",
        "v2" + value[2:],
        "hello",
    ):
        with pytest.raises(InvalidRequest, match="failed to verify the role tag"):
            tagged.write(f"{AUTH}{path}/{b64encode(forged.encode()).decode().replace('/', '_')}", {})
    tagged.delete(AUTH + "role/x")
    tagged.write(AUTH + "role/x", EC2 | {"role_tag": "StrongroomRole"})
    with pytest.raises(InvalidRequest, match="failed to verify"):  # made anew, the role honours no old tag
        tagged.write(f"{AUTH}{path}/{b64encode(value.encode()).decode()}", {})


def without_slashes(room: Strongroom) -> str:
    return next(form for _ in range(50) if "/" not in (form := b64encode(tag(room).encode()).decode()))


def test_the_deny_list_is_tidied_by_itself_and_when_asked(tagged: Strongroom) -> None:
    form = without_slashes(tagged)
    tagged.write(f"{AUTH}roletag-denylist/{form}", {})
    tagged.advance(32 * DAY + 179 * DAY)
    assert data(tagged, f"roletag-denylist/{form}")
    tagged.advance(2 * DAY)
    missing(tagged, f"roletag-denylist/{form}")
    tagged.write(AUTH + "config/tidy/roletag-denylist", {"disable_periodic_tidy": True, "safety_buffer": "1h"})
    tagged.write(f"{AUTH}roletag-denylist/{form}", {})
    tagged.advance(400 * DAY)
    assert data(tagged, f"roletag-denylist/{form}")
    assert tagged.write(AUTH + "tidy/roletag-denylist", {"safety_buffer": "72h"}).status == 202
    missing(tagged, f"roletag-denylist/{form}")


@pytest.mark.parametrize(
    ("name", "old", "buffer"),
    [("identity-accesslist", "identity-whitelist", 259_200), ("roletag-denylist", "roletag-blacklist", 15_552_000)],
)
def test_tidying_is_configured_under_both_names(room: Strongroom, name: str, old: str, buffer: int) -> None:
    missing(room, f"config/tidy/{name}")
    room.write(AUTH + f"config/tidy/{name}", {"disable_periodic_tidy": True})
    assert data(room, f"config/tidy/{old}") == {"safety_buffer": buffer, "disable_periodic_tidy": True}
    room.write(AUTH + f"config/tidy/{old}", {"safety_buffer": "1h"})
    assert data(room, f"config/tidy/{name}") == {"safety_buffer": 3_600, "disable_periodic_tidy": True}
    with pytest.raises(InvalidRequest, match="not negative"):
        room.write(AUTH + f"config/tidy/{old}", {"safety_buffer": -1})
    room.delete(AUTH + f"config/tidy/{old}")
    missing(room, f"config/tidy/{name}")
    assert room.write(AUTH + f"tidy/{old}", {}).status == room.write(AUTH + f"tidy/{name}", {}).status == 202


@pytest.mark.parametrize("name", ["identity-accesslist", "identity-whitelist"])
def test_the_access_list_is_empty(room: Strongroom, name: str) -> None:
    assert isinstance(room.request(Operation.LIST, AUTH + name).error, NotFound)
    missing(room, f"{name}/i-1")
    room.delete(AUTH + f"{name}/i-1")
    assert lists.EMPTY in room.write(AUTH + "tidy/identity-accesslist", {}).warnings


# -- certificates ---------------------------------------------------------------------------------------------------------------------


def test_certificates_are_kept(room: Strongroom, tmp_path: Path) -> None:
    pem = make_authority(tmp_path, ["localhost"], [], SystemClock().now()).ca.read_text()
    room.write(AUTH + "config/certificate/ours", {"aws_public_cert": pem, "type": "identity"})
    assert data(room, "config/certificate/ours") == {"aws_public_cert": pem, "type": "identity"}
    room.write(AUTH + "config/certificate/Other", {"aws_public_cert": b64encode(pem.encode()).decode()})
    assert data(room, "config/certificate/Other") == {"aws_public_cert": pem, "type": "pkcs7"}
    assert room.list(AUTH + "config/certificates") == ["Other", "ours"]
    for fields, text in (
        ({}, "missing aws_public_cert"),
        ({"aws_public_cert": "x"}, "not a certificate"),
        ({"aws_public_cert": pem + pem}, "one PEM block only"),
        ({"aws_public_cert": pem, "type": "x"}, "invalid certificate type"),
    ):
        with pytest.raises(InvalidRequest, match=text):
            room.write(AUTH + "config/certificate/wrong", fields)
    room.delete(AUTH + "config/certificate/ours")
    missing(room, "config/certificate/ours")
