"""cert: who a certificate makes somebody, which role it fits, and how a token goes on (T11.2, CVE-2025-6037, GHSA-7ccv)."""

from __future__ import annotations

import pytest
from cryptography import x509

from strongroom.auth.cert import login
from strongroom.core.request import Operation, Peer
from strongroom.crypto.x509 import Anchors, Presented, verify_client
from strongroom.errors import InvalidRequest, PermissionDenied
from strongroom.testing import Strongroom
from tests.auth.cert.kit import CERTS, CRLS, LOGIN, answer, fresh, log_in, peer, pem, trust
from tests.support.chains import DAY, DNS, MIDDLE, NOW, OTHER, ROOT, Made, alternatives, authority, issue, revocations

CONFIG = "auth/cert/config"
UNTRUSTED = (400, "invalid certificate or no client certificate supplied")
NO_ROLE = "no chain matching all constraints could be found for this login certificate"
ANOTHER = "client identity during renewal not matching client identity used during login"
TEXT = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.1.1.1"), b"\x0c\x05web-1")
KEY_ID = (x509.SubjectKeyIdentifier(b"\x01\xab"), False)
ISSUER_ID = (x509.AuthorityKeyIdentifier(b"\x02\xcd", None, None), False)


@pytest.fixture
def room() -> Strongroom:
    room = fresh()
    trust(room, "web", ROOT, display_name="shop")
    return room


@pytest.fixture
def client() -> Made:
    return issue("client", ROOT, [KEY_ID, ISSUER_ID, (TEXT, False)], serial=0x1234)


# -- who it is ----------------------------------------------------------------------------------------------------------------------


def test_a_login_gives_a_token_of_the_common_names_entity(room: Strongroom, client: Made) -> None:
    auth = log_in(room, client)
    assert auth.token_policies == ("default", "web")
    assert auth.metadata == {
        "cert_name": "web",
        "common_name": "client",
        "serial_number": str(0x1234),
        "subject_key_id": "01:ab",
        "authority_key_id": "02:cd",
    }
    found = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert (found["display_name"], found["path"], found["orphan"]) == ("cert-shop", "auth/cert/login", True)
    assert log_in(room, issue("client", ROOT, of="next key")).entity_id == auth.entity_id != ""
    assert log_in(room, issue("another", ROOT)).entity_id != auth.entity_id


def test_without_a_certificate_there_is_nothing_to_go_by(room: Strongroom) -> None:
    with pytest.raises(InvalidRequest, match="client certificate must be supplied"):
        room.login(LOGIN, {"name": "web"})


def test_a_certificate_says_nothing_without_a_login(room: Strongroom, client: Made) -> None:
    """A certificate on the connection is no credential for anything else."""
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token="", peer=peer(client))


def test_the_identity_is_that_of_the_verified_certificate_not_of_others_beside_it(room: Strongroom, client: Made) -> None:
    pinned = issue("pinned", OTHER, of="pinned key")
    trust(room, "pinned", pinned)
    assert (log_in(room, pinned).metadata or {})["common_name"] == "pinned"
    twin = issue("admin", OTHER, of="pinned key")
    assert answer(room, twin, [pinned]) == UNTRUSTED
    auth = log_in(room, client, [pinned, MIDDLE])
    assert (auth.metadata or {})["common_name"] == "client"


def test_extensions_go_on_the_token_where_the_role_lets_them(room: Strongroom, client: Made) -> None:
    assert "2-1-1-1" not in (log_in(room, client).metadata or {})
    room.write(CERTS + "web", {"allowed_metadata_extensions": "2.1.1.1,2.1.1.9"})
    auth = log_in(room, client)
    assert (auth.metadata or {})["2-1-1-1"] == "web-1" and "2-1-1-9" not in (auth.metadata or {})


def test_the_alias_has_the_metadata_where_the_settings_say_so(room: Strongroom, client: Made) -> None:
    def alias_metadata(entity_id: str) -> dict[str, str]:
        found = room.transact(lambda call: room.core.identities.identity(call.transaction, entity_id))
        (view,) = found.view.aliases.values()
        return dict(view.metadata)

    auth = log_in(room, client)
    assert alias_metadata(auth.entity_id) == {}
    room.write(CONFIG, {"enable_identity_alias_metadata": True})
    log_in(room, client)
    assert alias_metadata(auth.entity_id) == auth.metadata


# -- which role -----------------------------------------------------------------------------------------------------------------------


def test_roles_are_tried_in_the_order_of_their_names(room: Strongroom, client: Made) -> None:
    trust(room, "api", ROOT, allowed_common_names="other")
    trust(room, "zebra", ROOT)
    assert (log_in(room, client).metadata or {})["cert_name"] == "web"
    trust(room, "apple", ROOT)
    assert (log_in(room, client).metadata or {})["cert_name"] == "apple"
    assert (log_in(room, client, name="ZEBRA").metadata or {})["cert_name"] == "zebra"
    assert answer(room, client, name="api") == (400, NO_ROLE)
    assert answer(room, client, name="nobody") == UNTRUSTED


def test_a_role_trusts_its_own_authorities_only(room: Strongroom) -> None:
    trust(room, "other", OTHER)
    stranger = issue("client", OTHER)
    assert (log_in(room, stranger).metadata or {})["cert_name"] == "other"
    assert answer(room, stranger, name="web") == UNTRUSTED


def test_ocsp_certificates_are_no_authorities(room: Strongroom) -> None:
    """In Vault they are added to the trusted ones."""
    room.write(CERTS + "web", {"ocsp_ca_certificates": pem(OTHER)})
    assert answer(room, issue("client", OTHER)) == UNTRUSTED


def test_a_login_from_elsewhere_is_refused_and_the_token_bound(room: Strongroom, client: Made) -> None:
    room.write(CERTS + "web", {"token_bound_cidrs": "10.0.0.0/8"})
    assert answer(room, client)[0] == 403
    assert answer(room, client, address="10.1.2.3") == (200, "")


def test_what_is_wrong_with_the_certificate_is_said_and_on_request_which_one_it_was(room: Strongroom, client: Made) -> None:
    room.write(CERTS + "web", {"allowed_common_names": "other"})
    work = room.request(Operation.UPDATE, LOGIN, {}, token="", peer=peer(client))
    assert isinstance(work.error, InvalidRequest) and work.error.data is None
    room.write(CONFIG, {"enable_metadata_on_failures": True})
    work = room.request(Operation.UPDATE, LOGIN, {}, token="", peer=peer(client))
    assert isinstance(work.error, InvalidRequest) and work.error.data is not None
    metadata = work.error.data["metadata"]
    assert isinstance(metadata, dict) and metadata["common_name"] == "client"


def test_many_roles_of_one_authority_cost_one_verification(room: Strongroom, client: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(50):
        trust(room, f"role{number}", ROOT, allowed_common_names="other")
    verified: list[object] = []

    def counting(presented: Presented, trusted: Anchors, now: int) -> tuple[x509.Certificate, ...]:
        verified.append(trusted)
        return verify_client(presented, trusted, now)

    monkeypatch.setattr(login, "verify_client", counting)
    assert answer(room, client) == (200, "")
    assert len(verified) == 1


# -- revoked from the first request on (CVE-2022-41316) -----------------------------------------------------------------------------------


def test_the_first_login_after_a_start_knows_what_is_revoked(room: Strongroom, client: Made) -> None:
    room.write(CRLS + "root", {"crl": revocations(ROOT, 0x1234).decode()})
    room.restart()
    room.unseal()
    assert answer(room, client) == (
        400,
        f"{NO_ROLE}; additionally got errors during verification: it, or a certificate above it, is revoked",
    )
    room.delete(CRLS + "root")
    assert answer(room, client) == (200, "")


# -- renewal --------------------------------------------------------------------------------------------------------------------------


def renew(room: Strongroom, token: str, connection: Peer | None) -> tuple[int, str]:
    work = room.request(Operation.UPDATE, "auth/token/renew-self", {}, token=token, peer=connection)
    return (200, "") if work.error is None else (work.error.status, str(work.error))


def test_a_renewal_needs_the_certificate_of_the_login(room: Strongroom, client: Made) -> None:
    token = log_in(room, client).client_token.reveal()
    assert renew(room, token, peer(client)) == (200, "")
    assert renew(room, token, None) == (400, "client certificate must be supplied")
    same_ids = issue("client", ROOT, [KEY_ID, ISSUER_ID], of="thief")
    same_key = issue("client", ROOT, [KEY_ID, ISSUER_ID], serial=0x1235)
    for other in (same_ids, same_key, issue("client", ROOT), issue("another", ROOT)):
        assert renew(room, token, peer(other)) == (400, ANOTHER)


def test_certificates_without_key_identifiers_are_told_apart_too(room: Strongroom) -> None:
    """Vault compared the identifiers, and of two certificates without any these were equal (GHSA-7ccv)."""
    token = log_in(room, issue("client", ROOT)).client_token.reveal()
    assert renew(room, token, peer(issue("victim", ROOT))) == (400, ANOTHER)


def test_without_binding_a_renewal_needs_no_certificate(room: Strongroom, client: Made) -> None:
    token = log_in(room, client).client_token.reveal()
    room.write(CONFIG, {"disable_binding": True})
    assert renew(room, token, None) == (200, "")


def test_a_certificate_that_is_good_no_more_renews_nothing(room: Strongroom) -> None:
    client = issue("client", ROOT, serial=9)
    token = log_in(room, client).client_token.reveal()
    room.write(CRLS + "root", {"crl": revocations(ROOT, 9).decode()})
    assert "revoked" in renew(room, token, peer(client))[1]
    room.delete(CRLS + "root")
    room.write(CERTS + "web", {"allowed_common_names": "other"})
    assert renew(room, token, peer(client)) == (400, NO_ROLE)
    room.write(CERTS + "web", {"allowed_common_names": "", "token_ttl": 60})
    assert renew(room, token, peer(client)) == (200, "")
    room.write(CERTS + "web", {"token_policies": "changed"})
    assert renew(room, token, peer(client)) == (400, "policies have changed, not renewing")


def test_a_token_ends_with_its_role(room: Strongroom, client: Made) -> None:
    token = log_in(room, client).client_token.reveal()
    room.delete(CERTS + "web")
    assert renew(room, token, peer(client)) == (403, "permission denied")
    trust(room, "web", ROOT)
    assert renew(room, token, peer(client)) == (403, "permission denied")


def test_why_a_chain_leads_nowhere_is_for_the_audit_log(room: Strongroom) -> None:
    work = room.request(Operation.UPDATE, LOGIN, {}, token="", peer=peer(issue("client", OTHER)))
    assert isinstance(work.error, InvalidRequest) and work.error.reason == "no way leads from it to a trusted authority"
    assert work.error.reason not in str(work.error)


def test_an_expired_certificate_renews_nothing(room: Strongroom) -> None:
    short = issue("client", ROOT, ends=NOW + DAY / 24)
    room.write(CERTS + "web", {"token_ttl": "4h"})
    token = log_in(room, short).client_token.reveal()
    room.advance(3_599)
    assert renew(room, token, peer(short)) == (200, "")
    room.advance(2)
    assert renew(room, token, peer(short)) == (400, "failed to verify client's certificate: it has expired")


def test_a_role_that_moves_to_another_authority_renews_nothing(room: Strongroom, client: Made) -> None:
    token = log_in(room, client).client_token.reveal()
    trust(room, "web", authority("root", of="new root"))
    assert renew(room, token, peer(client)) == UNTRUSTED


def test_batch_tokens_come_where_the_role_says_so(room: Strongroom, client: Made) -> None:
    room.write(CERTS + "web", {"token_type": "batch"})
    assert log_in(room, client).token_type == "batch"


def test_names_are_not_widened_by_what_stands_beside_them(room: Strongroom) -> None:
    """A pattern is held against one name at a time."""
    trust(room, "web", ROOT, allowed_dns_sans="a.example*b.example")
    split = issue("client", ROOT, [alternatives(DNS("a.example"), DNS("b.example"))])
    assert answer(room, split) == (400, NO_ROLE)
