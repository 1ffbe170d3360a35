"""kubernetes: who the cluster says somebody is, and nobody else, gets what his role says (T12.1, T20.1, T21.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc.jwk import RSAKey

from strongroom.auth.kubernetes import Kubernetes, config
from strongroom.auth.kubernetes import cluster as asking
from strongroom.auth.kubernetes.selector import parse_selector
from strongroom.core.mount import Mount
from strongroom.core.request import Operation
from strongroom.core.response import Auth
from strongroom.errors import InvalidRequest, NotFound
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.testing import FakeClock, Strongroom
from tests.support.elsewhere import Answered
from tests.support.kubernetes_api import (
    AUDIENCE,
    PUBLIC_KEY,
    REVIEWER,
    REVIEWS,
    Cluster,
    Holder,
    legacy,
    projected,
    signed,
)

CONFIG = "auth/kubernetes/config"
ROLE = "auth/kubernetes/role/till"
LOGIN = "auth/kubernetes/login"
DENIED = (403, "permission denied")
BOUND = {"bound_service_account_names": "till", "bound_service_account_namespaces": "shop"}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with closing(Cluster(tmp_path_factory.mktemp("kubernetes"))) as stub:
        yield stub


@pytest.fixture(autouse=True)
def fresh(api: Cluster) -> None:
    """Each test finds the cluster as it was."""
    api.accounts = {Holder(), Holder("vault", "reviewer", "2222-bbbb")}
    api.labels = {"shop": {"stage": "production", "team": "a"}}
    api.annotations, api.open_reviews, api.knows_audiences, api.trouble, api.hold = {}, False, True, None, 0.0
    api.asked.clear()


@pytest.fixture
def room(api: Cluster) -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/kubernetes", {"type": "kubernetes"})
    room.write(CONFIG, {"kubernetes_host": api.url, "kubernetes_ca_cert": api.ca_pem, "token_reviewer_jwt": REVIEWER})
    room.write(ROLE, {**BOUND, "token_policies": "reader", "token_ttl": "10m"})
    return room


def reconfigure(room: Strongroom, api: Cluster, **fields: Any) -> None:
    room.write(CONFIG, {"kubernetes_host": api.url, "kubernetes_ca_cert": api.ca_pem, "token_reviewer_jwt": REVIEWER} | fields)


def answer(room: Strongroom, token: str, role: str = "till") -> tuple[int, str]:
    work = room.request(Operation.UPDATE, LOGIN, {"role": role, "jwt": token}, token="")
    return (200, "") if work.error is None else (work.error.status, str(work.error))


def login(room: Strongroom, token: str, role: str = "till") -> Auth:
    return room.login(LOGIN, {"role": role, "jwt": token})


# -- what a login gives -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("claims", "secret"), [(projected(), ""), (legacy(), "till-token-x")], ids=["projected", "legacy"])
def test_a_service_account_logs_in(room: Strongroom, claims: dict[str, Any], secret: str) -> None:
    auth = login(room, signed(claims))
    assert auth.policies == ("default", "reader") and auth.lease_duration == 600 and auth.orphan
    assert auth.metadata == {
        "role": "till",
        "service_account_name": "till",
        "service_account_namespace": "shop",
        "service_account_uid": "1111-aaaa",
        "service_account_secret_name": secret,
    }
    looked = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert looked["display_name"] == "kubernetes-shop-till" and looked["path"] == LOGIN
    assert looked["entity_id"]


def test_a_login_asks_once_and_sends_nothing_but_its_own(room: Strongroom, api: Cluster) -> None:
    """T21.3: what a caller sent to this server goes no further."""
    login(room, signed(projected()))
    (asked,) = api.asked
    assert (asked.method, asked.path, asked.headers["authorization"]) == ("POST", REVIEWS, f"Bearer {REVIEWER}")
    assert asked.headers.keys() == {
        "host",
        "connection",
        "accept-encoding",
        "user-agent",
        "authorization",
        "accept",
        "content-type",
        "content-length",
    }


def test_without_a_reviewer_a_login_asks_with_its_own_token(room: Strongroom, api: Cluster) -> None:
    reconfigure(room, api, token_reviewer_jwt="")
    token = signed(projected())
    assert answer(room, token) == DENIED  # this account may not ask for reviews
    api.open_reviews = True
    assert answer(room, token) == (200, "")
    assert api.asked[-1].headers["authorization"] == f"Bearer {token}"


def test_a_reviewers_token_need_not_be_a_jwt(room: Strongroom, api: Cluster) -> None:
    reconfigure(room, api, token_reviewer_jwt="07401b.f395accd246ae52d")
    assert room.json(room.read(CONFIG))["token_reviewer_jwt_set"] is True


def test_a_token_may_come_from_a_file_that_ends_in_a_line_break(room: Strongroom, api: Cluster) -> None:
    reconfigure(room, api, token_reviewer_jwt=REVIEWER + "\n")
    assert answer(room, signed(projected()) + "\n") == (200, "")
    assert answer(room, signed(projected()).replace(".", "\n.", 1)) == DENIED


def test_the_alias_is_the_uid_or_the_name(room: Strongroom, api: Cluster) -> None:
    first = login(room, signed(projected())).entity_id
    api.accounts = {Holder(uid="3333-cccc"), *api.accounts}
    made_again = signed(projected(Holder(uid="3333-cccc")))
    assert login(room, made_again).entity_id != first
    room.write(ROLE, {"alias_name_source": "serviceaccount_name"})
    assert login(room, made_again).entity_id == login(room, signed(projected())).entity_id != first


def test_renewal_goes_by_the_role_and_ends_with_it(room: Strongroom) -> None:
    token = login(room, signed(projected())).client_token.reveal()
    room.write(ROLE, {"token_ttl": "5m", "token_policies": "other"})
    renewed = room.write("auth/token/renew-self", token=token).auth
    assert renewed is not None and renewed.lease_duration == 300 and renewed.policies == ("default", "reader")
    room.delete(ROLE)
    assert room.request(Operation.READ, "auth/token/lookup-self", token=token).error is not None


# -- who gets nothing ---------------------------------------------------------------------------------------------------------------

OTHER_KEY = RSAKey.import_key(rsa.generate_private_key(public_exponent=65_537, key_size=2_048))
NOW = 1_767_225_600

FORGED: dict[str, Callable[[], str]] = {
    "another signer": lambda: signed(projected(), OTHER_KEY),
    "an account that is gone": lambda: signed(projected(Holder(uid="0000-gone"))),
    "no signature": lambda: signed(projected()).rpartition(".")[0] + ".",
    "a key from the header": lambda: signed(projected(), OTHER_KEY, jwk=OTHER_KEY.as_dict(private=False)),
    "not a token": lambda: "hello",
    "another audience": lambda: signed(projected(aud=["vault"])),
}


@pytest.mark.parametrize("forgery", FORGED)
@pytest.mark.parametrize("keys", [True, False], ids=["with keys", "without keys"])
def test_a_forged_token_is_denied_and_nothing_is_said(room: Strongroom, api: Cluster, forgery: str, keys: bool) -> None:
    room.write(ROLE, {"audience": AUDIENCE} if forgery == "another audience" else {})
    reconfigure(room, api, pem_keys=PUBLIC_KEY if keys else "")
    status, text = answer(room, FORGED[forgery]())
    assert status == 403 and (text == "permission denied" or "aud" in text)
    assert answer(room, signed(projected())) == (200, "")  # the control


def test_a_configured_key_refuses_before_the_cluster_is_asked(room: Strongroom, api: Cluster) -> None:
    reconfigure(room, api, pem_keys=PUBLIC_KEY)
    assert answer(room, FORGED["another signer"]()) == DENIED and api.asked == []
    reconfigure(room, api)
    assert answer(room, FORGED["another signer"]()) == DENIED and len(api.asked) == 1  # the control: without, the cluster finds it


@pytest.mark.parametrize(
    ("claims", "text"),
    [
        (projected(exp=NOW - 61), "token is expired"),
        (projected(nbf=NOW + 61, exp=NOW + 90), "not yet valid"),
        (projected(iat=NOW + 61, nbf=NOW, exp=NOW + 90), "future"),
        (projected(exp="soon"), "number of seconds"),
        (projected() | legacy(), "twice"),
        ({"iss": "x"}, "does not name a service account"),
        (projected(Holder("../shop", "till", "1111-aaaa")), "does not name a service account"),
        (projected(Holder("shop", "till/../admin", "1111-aaaa")), "does not name a service account"),
        (projected(Holder("SHOP", "till", "1111-aaaa")), "does not name a service account"),
        (projected(Holder("shop", "till", "")), "does not name a service account"),
        (projected() | {"kubernetes.io": {"namespace": "shop", "serviceaccount": {"name": ["till"], "uid": "1"}}}, "does not name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_good_token_must_say(room: Strongroom, api: Cluster, claims: dict[str, Any], text: str) -> None:
    status, said = answer(room, signed(claims))
    assert status == 403 and text in said and api.asked == []
    assert answer(room, signed(projected(exp=NOW + 60, nbf=NOW - 10, iat=NOW - 10))) == (200, "")  # the control


@pytest.mark.parametrize(
    ("holder", "text"),
    [
        (Holder("shop", "till2", "1111-aaaa"), "service account name not authorized"),
        (Holder("shop2", "till", "1111-aaaa"), "namespace not authorized"),
    ],
)
def test_whom_a_role_is_for_is_told_to_those_whom_the_cluster_knows(room: Strongroom, api: Cluster, holder: Holder, text: str) -> None:
    """Anybody can write a token; by trying names out he would find those that the role takes."""
    assert answer(room, signed(projected(holder))) == answer(room, FORGED["another signer"]()) == DENIED
    api.accounts.add(holder)
    assert answer(room, signed(projected(holder))) == (403, text)


def test_the_cluster_and_the_token_must_name_the_same_account(room: Strongroom, api: Cluster) -> None:
    """An API server that is led to review another token, or that answers of another account, gives nobody anything."""
    user = {"username": "system:serviceaccount:shop:till", "uid": "1111-aaaa"}
    for change in ({"uid": "other"}, {"username": "system:serviceaccount:shop:other"}, {"username": "system:serviceaccount:other:till"}):
        api.trouble = reviewed(user | change)
        assert answer(room, signed(projected())) == DENIED
    for username in ("admin", "system:serviceaccount:shop:till:x", "system:node:shop:till", ""):
        api.trouble = reviewed(user | {"username": username})
        assert answer(room, signed(projected())) == DENIED
    api.trouble = reviewed(user)
    assert answer(room, signed(projected())) == (200, "")  # the control


def reviewed(user: dict[str, str], **status: Any) -> Answered:
    return Answered(201, ({"status": {"authenticated": True, "user": user, "audiences": [AUDIENCE]} | status}))


def test_an_answer_that_is_not_a_plain_yes_is_no(room: Strongroom, api: Cluster) -> None:
    user = {"username": "system:serviceaccount:shop:till", "uid": "1111-aaaa"}
    for status in ({"authenticated": False}, {"error": "something"}):
        api.trouble = reviewed(user, **status)
        assert answer(room, signed(projected())) == DENIED
    for code in (400, 401, 403, 404, 302):
        api.trouble = Answered(code, reviewed(user).body)
        assert answer(room, signed(projected())) == DENIED
    api.trouble = Answered(200, reviewed(user).body)
    assert answer(room, signed(projected())) == (200, "")  # the control


@pytest.mark.parametrize(
    "trouble",
    [
        Answered(500),
        Answered(429),
        Answered(200, b"<html>"),
        Answered(200, b'{"status": {"authenticated": "yes"}}'),
        Answered(200, b"[]"),
        Answered(200, b'{"status": {}}' + b" " * asking.MAX_ANSWER),
    ],
    ids=["fails", "is busy", "is HTML", "has the wrong types", "is a list", "is huge"],
)
def test_a_cluster_that_does_not_answer_is_said_to_without_its_address(room: Strongroom, api: Cluster, trouble: Answered) -> None:
    api.trouble = trouble
    status, text = answer(room, signed(projected()))
    assert status == 503 and "Kubernetes API" in text and "localhost" not in text and "127.0.0.1" not in text


def test_a_cluster_that_is_slow_is_waited_for_a_while(room: Strongroom, api: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "TIMEOUT", 0.3)
    api.hold = 1.0
    status, text = answer(room, signed(projected()))
    assert status == 503 and text.startswith("the Kubernetes API could not be asked: no answer")


def test_an_api_server_of_another_authority_is_not_asked(room: Strongroom, api: Cluster, tmp_path: Path) -> None:
    with closing(Cluster(tmp_path)) as impostor:
        reconfigure(room, api, kubernetes_host=impostor.url)
        assert "not trusted" in answer(room, signed(projected()))[1] and impostor.asked == []
        reconfigure(room, api, kubernetes_host=impostor.url, kubernetes_ca_cert=impostor.ca_pem)
        assert answer(room, signed(projected())) == (200, "")  # the control


def test_a_metadata_address_is_never_asked() -> None:
    """T20.1: an administrator of a mount cannot have the server fetch its cloud credentials."""
    dialled: list[str] = []

    def connect(address: object, port: int, timeout: float) -> Any:
        dialled.append(str(address))
        raise OSError("unreachable")

    room = Strongroom(outbound=Outbound(Dialer(resolve=lambda name, timeout: ["169.254.169.254"], connect=connect)))
    room.write("sys/auth/kubernetes", {"type": "kubernetes"})
    room.write(ROLE, BOUND)
    for host in ("https://169.254.169.254", "metadata.example", "https://[::ffff:169.254.169.254]"):
        room.write(CONFIG, {"kubernetes_host": host})
        assert answer(room, signed(projected()))[0] == 503
    assert dialled == []
    room.write(CONFIG, {"kubernetes_host": "https://10.0.0.1"})
    assert answer(room, signed(projected()))[0] == 503 and dialled == ["10.0.0.1"]  # the control


# -- audiences, namespaces, annotations ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aud", ["vault", ["vault"], ["other", "vault"]])
def test_a_role_with_an_audience_takes_tokens_made_for_it(room: Strongroom, api: Cluster, aud: Any) -> None:
    """CVE-2024-5798: one text and a list of one are alike."""
    room.write(ROLE, {"audience": "vault"})
    assert answer(room, signed(projected(aud=aud))) == (200, "")
    assert b'"audiences":["vault"]' in api.asked[-1].body
    for other in ("vault2", [], ["vaul"], None, 7):
        status, text = answer(room, signed(projected(aud=other)))
        assert status == 403 and "audience (aud) claim" in text


def test_a_cluster_that_ignores_audiences_confirms_none(room: Strongroom, api: Cluster) -> None:
    room.write(ROLE, {"audience": "vault"})
    api.knows_audiences = False
    assert answer(room, signed(projected(aud=["vault"]))) == DENIED
    api.knows_audiences = True
    assert answer(room, signed(projected(aud=["vault"]))) == (200, "")  # the control


def test_the_issuer_counts_where_it_is_validated(room: Strongroom, api: Cluster) -> None:
    assert answer(room, signed(projected(iss="https://elsewhere"))) == (200, "")
    reconfigure(room, api, disable_iss_validation=False, issuer=AUDIENCE)
    assert answer(room, signed(projected())) == (200, "")
    for issuer in (AUDIENCE + "/", AUDIENCE[:-1], None):
        assert answer(room, signed(projected(iss=issuer))) == (403, "invalid issuer (iss) claim")
    reconfigure(room, api, disable_iss_validation=False)
    assert answer(room, signed(legacy())) == (200, "") and answer(room, signed(projected()))[0] == 403


@pytest.mark.parametrize(
    ("names", "namespaces", "holds"),
    [
        ("*", "*", True),
        ("til*", "*op", True),
        ("a,till", "b,shop", True),
        ("tills", "shop", False),
        ("till", "shops", False),
        ("TILL", "shop", False),
        ("*", "", False),
    ],
)
def test_names_are_patterns(room: Strongroom, names: str, namespaces: str, holds: bool) -> None:
    fields = {"bound_service_account_names": names, "bound_service_account_namespaces": namespaces}
    if not namespaces:
        fields["bound_service_account_namespace_selector"] = '{"matchLabels": {"stage": "test"}}'
    room.write("auth/kubernetes/role/globs", fields)
    assert (answer(room, signed(projected()), "globs")[0] == 200) is holds


SELECTORS = [
    ('{"matchLabels": {"stage": "production"}}', True),
    ('{"matchLabels": {"stage": "production", "team": "b"}}', False),
    ('{"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}', True),
    ('{"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["a", "b"]}]}', False),
    ('{"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["a", "b"]}]}', True),
    ('{"matchExpressions": [{"key": "team", "operator": "Exists"}]}', True),
    ('{"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}', False),
    ('{"matchLabels": {"stage": "production"}, "matchExpressions": [{"key": "none", "operator": "Exists"}]}', False),
    ("{}", True),
]


@pytest.mark.parametrize(("selector", "holds"), SELECTORS)
def test_namespaces_are_selected_by_their_labels(room: Strongroom, api: Cluster, selector: str, holds: bool) -> None:
    assert parse_selector(selector).selects(api.labels["shop"]) is holds
    fields = {"bound_service_account_names": "till", "bound_service_account_namespace_selector": selector}
    room.write("auth/kubernetes/role/labels", fields)
    assert answer(room, signed(projected()), "labels") == ((200, "") if holds else (403, "namespace not authorized"))
    assert [asked.path for asked in api.asked] == [REVIEWS, "/api/v1/namespaces/shop"]


def test_labels_are_looked_up_for_a_confirmed_account_only(room: Strongroom, api: Cluster) -> None:
    fields = {"bound_service_account_names": "*", "bound_service_account_namespace_selector": "{}"}
    room.write("auth/kubernetes/role/labels", fields)
    assert answer(room, signed(projected(), OTHER_KEY), "labels") == DENIED
    assert [asked.path for asked in api.asked] == [REVIEWS]


def test_annotations_become_alias_metadata_where_configured(room: Strongroom, api: Cluster) -> None:
    api.annotations = {"vault.hashicorp.com/alias-metadata-team": "blue", "vault.hashicorp.com/other": "x", "note": "y"}
    login(room, signed(projected()))
    assert len(api.asked) == 1
    reconfigure(room, api, use_annotations_as_alias_metadata=True)
    auth = login(room, signed(projected()))
    assert api.asked[-1].path == "/api/v1/namespaces/shop/serviceaccounts/till"
    assert "team" not in (auth.metadata or {})  # it is on the alias, for templated policies
    api.annotations["vault.hashicorp.com/alias-metadata-service_account_name"] = "admin"
    status, text = answer(room, signed(projected()))
    assert status == 400 and "internal use" in text


# -- configuration and roles --------------------------------------------------------------------------------------------------------


def test_the_configuration_is_read_back_without_the_token(room: Strongroom, api: Cluster) -> None:
    fields = {
        "kubernetes_host": "10.0.0.1:6443",
        "kubernetes_ca_cert": api.ca_pem,
        "pem_keys": [PUBLIC_KEY.strip()],
        "issuer": "me",
        "disable_iss_validation": False,
        "disable_local_ca_jwt": True,
        "use_annotations_as_alias_metadata": True,
    }
    room.write(CONFIG, {**fields, "token_reviewer_jwt": REVIEWER})
    assert room.json(room.read(CONFIG)) == {**fields, "token_reviewer_jwt_set": True}
    room.write(CONFIG, {"kubernetes_host": "10.0.0.1"})
    found = room.json(room.read(CONFIG))
    assert found["disable_iss_validation"] is True and found["pem_keys"] == [] and found["token_reviewer_jwt_set"] is False


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "no host provided"),
        ({"kubernetes_host": "https://user@10.0.0.1"}, "URL"),
        ({"kubernetes_host": "https://10.0.0.1/?x"}, "query"),
        ({"kubernetes_host": "https://10.0.0.1\r\nx: y"}, "URL"),
        ({"kubernetes_host": "file:///etc/passwd"}, "URL"),
        ({"kubernetes_host": "a", "kubernetes_ca_cert": "x" * 65_537}, "characters"),
        ({"kubernetes_host": "a", "pem_keys": "bad"}, "public keys"),
        ({"kubernetes_host": "a", "token_reviewer_jwt": "a b"}, "token"),
        ({"kubernetes_host": "a", "token_reviewer_jwt": "a\r\nx: y"}, "token"),
    ],
)
def test_a_configuration_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    before = room.json(room.read(CONFIG))
    with pytest.raises(InvalidRequest, match=text):
        room.write(CONFIG, fields)
    assert room.json(room.read(CONFIG)) == before


def test_a_host_without_tls_is_kept_with_a_warning_and_never_asked(room: Strongroom, api: Cluster) -> None:
    fields = {"kubernetes_ca_cert": api.ca_pem, "token_reviewer_jwt": REVIEWER}
    plain = api.url.replace("https://", "http://")
    assert "every login fails" in room.write(CONFIG, {**fields, "kubernetes_host": plain}).warnings[0]
    assert room.json(room.read(CONFIG))["kubernetes_host"] == plain
    asked = len(api.asked)
    status, text = answer(room, signed(projected()))
    assert status == 400 and "https://" in text and len(api.asked) == asked
    assert room.write(CONFIG, {**fields, "kubernetes_host": api.url}).warnings == ()
    assert answer(room, signed(projected())) == (200, "")


@pytest.mark.parametrize("pem", ["bad", r"-----BEGIN CERTIFICATE-----\n.....\n-----END CERTIFICATE-----"], ids=["no PEM", "no line ends"])
def test_a_ca_without_a_certificate_is_refused(room: Strongroom, api: Cluster, pem: str) -> None:
    fields = {"kubernetes_host": api.url, "token_reviewer_jwt": REVIEWER}
    before = room.json(room.read(CONFIG))
    with pytest.raises(InvalidRequest, match="The provided CA PEM data contains no valid certificates"):
        room.write(CONFIG, {**fields, "kubernetes_ca_cert": pem})
    assert room.json(room.read(CONFIG)) == before
    room.write(CONFIG, {**fields, "kubernetes_ca_cert": api.ca_pem})
    assert answer(room, signed(projected())) == (200, "")


def test_without_a_configuration_nobody_logs_in() -> None:
    room = Strongroom()
    room.write("sys/auth/kubernetes", {"type": "kubernetes"})
    with pytest.raises(NotFound):
        room.read(CONFIG)
    room.write(ROLE, BOUND)
    assert answer(room, signed(projected())) == (400, "could not load backend configuration")
    assert answer(room, "", "till") == (400, "missing jwt") and answer(room, "x", "") == (400, "missing role")
    assert answer(room, "x", "none") == (400, 'invalid role name "none"')


def test_a_role_is_read_back_as_written(room: Strongroom) -> None:
    fields = {
        "bound_service_account_names": ["a", "b*"],
        "bound_service_account_namespaces": ["c"],
        "bound_service_account_namespace_selector": "{}",
        "audience": "vault",
        "alias_name_source": "serviceaccount_name",
        "token_ttl": 60,
        "token_max_ttl": 120,
        "token_policies": ["p"],
        "token_bound_cidrs": ["10.0.0.0/8"],
        "token_num_uses": 3,
        "token_type": "service",
    }
    room.write("auth/kubernetes/role/Full", fields)
    found = room.json(room.read("auth/kubernetes/role/full"))
    assert {name: found[name] for name in fields} == fields
    assert not {"ttl", "max_ttl", "policies", "num_uses"} & set(found)
    room.write("auth/kubernetes/role/full", {"ttl": "90s"})
    changed = room.json(room.read("auth/kubernetes/role/full"))
    assert (
        changed["token_ttl"] == changed["ttl"] == 90
        and changed["audience"] == "vault"
        and changed["bound_service_account_namespace_selector"] == "{}"
    )
    assert room.list("auth/kubernetes/role") == ["full", "till"]
    room.delete("auth/kubernetes/role/full")
    with pytest.raises(NotFound):
        room.read("auth/kubernetes/role/full")


def test_a_role_without_an_audience_warns(room: Strongroom) -> None:
    assert "does not specify an audience" in room.write(ROLE, {}).warnings[0]
    assert room.write(ROLE, {"audience": "vault"}).warnings == ()
    (warning,) = room.write(ROLE, {"token_max_ttl": "9000h"}).warnings
    assert "truncated" in warning


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bound_service_account_namespaces": "x"}, '"bound_service_account_names" can not be empty'),
        ({"bound_service_account_names": "x"}, '"bound_service_account_namespaces" can not be empty if'),
        ({"bound_service_account_names": "x,*", "bound_service_account_namespaces": "x"}, 'can not mix "\\*" with values'),
        ({"bound_service_account_names": "x", "bound_service_account_namespaces": "*,y"}, 'can not mix "\\*" with values'),
        (BOUND | {"alias_name_source": "_invalid_"}, "invalid alias_name_source, must be one of: serviceaccount_uid, serviceaccount_name"),
        (BOUND | {"token_ttl": 20, "token_max_ttl": 10}, "token_ttl"),
        (BOUND | {"bound_service_account_namespace_selector": "stage: x"}, "label selector in JSON"),
        (BOUND | {"bound_service_account_namespace_selector": '{"matchLabel": {}}'}, "label selector in JSON"),
        (BOUND | {"bound_service_account_namespace_selector": '{"matchExpressions": [{"key": "a", "operator": "In"}]}'}, "need values"),
        (
            BOUND
            | {"bound_service_account_namespace_selector": '{"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}'},
            "take none",
        ),
    ],
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text):
        room.write("auth/kubernetes/role/wrong", fields)
    with pytest.raises(NotFound):
        room.read("auth/kubernetes/role/wrong")


def test_a_login_comes_from_the_roles_networks(room: Strongroom, api: Cluster) -> None:
    room.write(ROLE, {"token_bound_cidrs": "10.0.0.0/8"})
    assert answer(room, signed(projected())) == DENIED and api.asked == []
    room.write(ROLE, {"token_bound_cidrs": "127.0.0.0/8"})
    assert answer(room, signed(projected())) == (200, "")


# -- in a pod -----------------------------------------------------------------------------------------------------------------------


def test_in_a_pod_its_own_token_goes_to_its_own_cluster_only(
    room: Strongroom, api: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.crt").write_text(api.ca_pem)
    (tmp_path / "token").write_text(REVIEWER + "\n")
    monkeypatch.setattr(config, "LOCAL", tmp_path)
    token = signed(projected())
    for ca in ("", api.ca_pem):
        reconfigure(room, api, token_reviewer_jwt="", kubernetes_ca_cert=ca)
        assert answer(room, token) == (200, "") and api.asked[-1].headers["authorization"] == f"Bearer {REVIEWER}"
    with closing(Cluster(tmp_path / "elsewhere")) as elsewhere:
        reconfigure(room, api, token_reviewer_jwt="", kubernetes_host=elsewhere.url, kubernetes_ca_cert=elsewhere.ca_pem)
        answer(room, token)
        assert elsewhere.asked[-1].headers["authorization"] == f"Bearer {token}"
    reconfigure(room, api, token_reviewer_jwt="", disable_local_ca_jwt=True)
    assert answer(room, token) == DENIED and api.asked[-1].headers["authorization"] == f"Bearer {token}"


def test_a_tenants_mount_never_has_the_pods_token(api: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_text(api.ca_pem)
    (tmp_path / "token").write_text(REVIEWER)
    monkeypatch.setattr(config, "LOCAL", tmp_path)
    written = config.Config(host=api.url)
    for namespace, token in (("", REVIEWER), ("tenant", "")):
        mount = Mount(b"m" * 16, "auth/kubernetes/", "kubernetes", "auth", "a", namespace=namespace)
        engine = Kubernetes(None, mount, None, FakeClock(), Outbound())  # type: ignore[arg-type]
        assert engine.access(written).token == token
