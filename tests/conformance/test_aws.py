"""hvac's `auth.aws` against a real server, which asks STS and IAM over TLS. hvac signs for sts.amazonaws.com whatever is asked."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing

import hvac
import pytest
from hvac import exceptions

from tests.conformance.conftest import configured, open_up
from tests.conformance.server import Running
from tests.support.aws_api import ACCOUNT, ALICE, DEPLOY, SERVER, Aws

ALICE_ARN = f"arn:aws:iam::{ACCOUNT}:user/alice"
DEPLOY_ARN = f"arn:aws:iam::{ACCOUNT}:role/deploy"


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    with closing(Aws(tmp_path_factory.mktemp("aws"))) as made:
        yield made


@pytest.fixture(scope="module")
def trusting(aws: Aws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server that trusts the stand-in's authority, as servers trust AWS's."""
    with configured(tmp_path_factory.mktemp("trusting"), {"SSL_CERT_FILE": str(aws.authority.ca)}) as server:
        open_up(server)
        yield server


@pytest.fixture
def admin(trusting: Running) -> hvac.Client:
    return trusting.client()


@pytest.fixture
def mount(admin: hvac.Client, name: str, aws: Aws) -> Iterator[str]:
    """A mount that is configured for the stand-in."""
    admin.sys.enable_auth_method("aws", path=name)
    keys = {"access_key": "AKIASERVER", "secret_key": SERVER.secret}
    assert admin.auth.aws.configure(**keys, iam_endpoint=aws.url, sts_endpoint=aws.url, mount_point=name).status_code == 204
    yield name
    admin.sys.disable_auth_method(name)


def test_the_configuration_is_written_read_and_deleted(admin: hvac.Client, mount: str, aws: Aws) -> None:
    admin.auth.aws.configure(max_retries=2, iam_server_id_header_value="vault.example.com", sts_region="us-east-1", mount_point=mount)
    data = admin.auth.aws.read_config(mount_point=mount)
    assert (data["max_retries"], data["iam_server_id_header_value"], data["sts_endpoint"]) == (2, "vault.example.com", aws.url)
    assert data["access_key"] == "AKIASERVER" and "secret_key" not in data and SERVER.secret not in str(data)
    assert admin.auth.aws.delete_config(mount_point=mount).status_code == 204
    with pytest.raises(exceptions.InvalidPath):
        admin.auth.aws.read_config(mount_point=mount)


def test_an_iam_user_and_a_role_log_in(trusting: Running, admin: hvac.Client, mount: str) -> None:
    arns = [ALICE_ARN, DEPLOY_ARN]
    done = admin.auth.aws.create_role("deploy", auth_type="iam", bound_iam_principal_arn=arns, policies=["not_root"], mount_point=mount)
    assert done.status_code == 204
    assert admin.auth.aws.read_role("deploy", mount_point=mount)["bound_iam_principal_id"] == ["AIDAALICE", "AROADEPLOY"]
    own = trusting.client("")
    auth = own.auth.aws.iam_login("AKIAALICE", ALICE.secret, role="deploy", mount_point=mount)["auth"]
    assert own.token == auth["client_token"] and own.is_authenticated() and auth["policies"] == ["default", "not_root"]
    assert auth["metadata"]["account_id"] == ACCOUNT
    own.auth.aws.iam_login("ASIADEPLOY", DEPLOY.secret, DEPLOY.session_token, mount_point=mount)
    assert own.auth.token.lookup_self()["data"]["display_name"] == f"{mount}-deploy"


def test_who_did_not_sign_or_signed_for_another_server_is_refused(trusting: Running, admin: hvac.Client, mount: str) -> None:
    admin.auth.aws.create_role("alice", bound_iam_principal_arn=ALICE_ARN, mount_point=mount)
    own = trusting.client("")
    with pytest.raises(exceptions.InvalidRequest, match="SignatureDoesNotMatch"):
        own.auth.aws.iam_login("AKIAALICE", "wrong", mount_point=mount)
    admin.auth.aws.configure(iam_server_id_header_value="vault.example.com", mount_point=mount)
    for header in (None, "other.example.com"):
        with pytest.raises(exceptions.InvalidRequest, match="X-Vault-AWS-IAM-Server-ID"):
            own.auth.aws.iam_login("AKIAALICE", ALICE.secret, header_value=header, mount_point=mount)
    own.auth.aws.iam_login("AKIAALICE", ALICE.secret, header_value="vault.example.com", mount_point=mount)
    assert own.is_authenticated()


def test_logins_of_the_ec2_type_are_refused_with_a_sentence(trusting: Running, mount: str) -> None:
    with pytest.raises(exceptions.InvalidRequest, match="logins of the ec2 type are not supported here"):
        trusting.client("").auth.aws.ec2_login("pkcs7", nonce="n", role="alice", mount_point=mount)


def test_what_names_an_alias_is_configured(admin: hvac.Client, mount: str) -> None:
    admin.auth.aws.configure_identity_integration("full_arn", "image_id", mount, ["client_arn"], ["region"])
    data = admin.auth.aws.read_identity_integration(mount_point=mount)
    assert data == {"iam_alias": "full_arn", "ec2_alias": "image_id", "iam_metadata": ["client_arn"], "ec2_metadata": ["region"]}


def test_roles_for_accounts(admin: hvac.Client, mount: str) -> None:
    role = "arn:aws:iam::111122223333:role/asked"
    assert admin.auth.aws.create_sts_role("111122223333", role, mount_point=mount).status_code in (200, 204)
    assert admin.auth.aws.read_sts_role("111122223333", mount_point=mount)["sts_role"] == role
    assert admin.auth.aws.list_sts_roles(mount_point=mount)["keys"] == ["111122223333"]
    assert admin.auth.aws.delete_sts_role("111122223333", mount_point=mount).status_code == 204


def test_certificates(admin: hvac.Client, mount: str, aws: Aws) -> None:
    done = admin.auth.aws.create_certificate_configuration("ours", b64encode(aws.ca_pem.encode()).decode(), mount_point=mount)
    assert done.status_code in (200, 204)
    assert admin.auth.aws.read_certificate_configuration("ours", mount_point=mount)["aws_public_cert"] == aws.ca_pem
    assert admin.auth.aws.list_certificate_configurations(mount_point=mount)["keys"] == ["ours"]
    assert admin.auth.aws.delete_certificate_configuration("ours", mount_point=mount).status_code == 204


def test_roles_are_read_listed_and_deleted(admin: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        admin.auth.aws.list_roles(mount_point=mount)
    admin.auth.aws.create_role("x", "ec2", bound_ami_id=["ami-1"], max_ttl="1h", disallow_reauthentication=True, mount_point=mount)
    data = admin.auth.aws.read_role("x", mount_point=mount)
    assert (data["auth_type"], data["bound_ami_id"], data["max_ttl"]) == ("ec2", ["ami-1"], 3600)
    assert admin.auth.aws.list_roles(mount_point=mount)["keys"] == ["x"]
    assert admin.auth.aws.delete_role("x", mount_point=mount).status_code == 204


def test_tags_and_the_list_of_those_that_are_not_honoured(admin: hvac.Client, mount: str) -> None:
    admin.auth.aws.create_role("x", "ec2", bound_ami_id="ami-1", role_tag="Role", policies="a,b", mount_point=mount)
    while True:
        tag = admin.auth.aws.create_role_tags("x", policies=["a"], mount_point=mount)["data"]["tag_value"]
        form = b64encode(tag.encode()).decode()
        if "/" not in form:  # hvac would encode a slash, and a path has no encoded slashes here
            break
    admin.auth.aws.place_role_tags_in_blacklist(form, mount_point=mount)
    assert admin.auth.aws.read_role_tag_blacklist(form, mount_point=mount)["expiration_time"]
    assert admin.auth.aws.list_blacklist_tags(mount_point=mount)["keys"] == [tag]
    assert admin.auth.aws.delete_blacklist_tags(form, mount_point=mount).status_code == 204
    assert admin.auth.aws.tidy_blacklist_tags("1h", mount_point=mount).status_code == 202
    admin.auth.aws.configure_role_tag_blacklist_tidy("1h", True, mount_point=mount)
    assert admin.auth.aws.read_role_tag_blacklist_tidy(mount_point=mount) == {"safety_buffer": 3600, "disable_periodic_tidy": True}
    assert admin.auth.aws.delete_role_tag_blacklist_tidy(mount_point=mount).status_code == 204


def test_the_access_list(admin: hvac.Client, mount: str) -> None:
    with pytest.raises(exceptions.InvalidPath):
        admin.auth.aws.list_identity_whitelist(mount_point=mount)
    with pytest.raises(exceptions.InvalidPath):
        admin.auth.aws.read_identity_whitelist("i-1", mount_point=mount)
    assert admin.auth.aws.delete_identity_whitelist_entries("i-1", mount_point=mount).status_code == 204
    assert admin.auth.aws.tidy_identity_whitelist_entries("1h", mount_point=mount).status_code == 202
    admin.auth.aws.configure_identity_whitelist_tidy("2h", False, mount_point=mount)
    assert admin.auth.aws.read_identity_whitelist_tidy(mount_point=mount) == {"safety_buffer": 7200, "disable_periodic_tidy": False}
    assert admin.auth.aws.delete_identity_whitelist_tidy(mount_point=mount).status_code == 204
