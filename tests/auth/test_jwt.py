"""jwt with keys that are written down: configuration, roles and logins (T5.3, T6.1, T8.2, T12.2)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.core.request import Operation, Peer
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.testing import Strongroom
from tests.auth.parameters import PARAMETERS
from tests.support.tokens import ec_key, pem, rsa_key, signed

KEY = rsa_key()
PEM = pem(KEY)
ISSUER = "https://issuer.example"
LOGIN = "auth/jwt/login"


def fresh() -> Strongroom:
    room = Strongroom()
    room.write("sys/auth/jwt", {"type": "jwt"})
    room.write("auth/jwt/config", {"jwt_validation_pubkeys": PEM, "bound_issuer": ISSUER})
    return room


@pytest.fixture(scope="module")
def room() -> Strongroom:
    return fresh()


def claims(room: Strongroom, **changes: Any) -> dict[str, Any]:
    """Claims of a good token; what is None is left out."""
    now = room.clock.now() // 1_000_000_000
    found = {"iss": ISSUER, "aud": "strongroom", "sub": "job-1", "iat": now, "nbf": now, "exp": now + 300, **changes}
    return {name: value for name, value in found.items() if value is not None}


def role(room: Strongroom, name: str = "ci", **fields: Any) -> None:
    room.write(f"auth/jwt/role/{name}", {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "strongroom", **fields})


def answer(room: Strongroom, token: str, name: str = "ci", **options: Any) -> tuple[int, str]:
    """Status and text of a login."""
    work = room.request(Operation.UPDATE, LOGIN, {"role": name, "jwt": token}, token="", **options)
    return (200, "") if work.error is None else (work.error.status, str(work.error))


# -- configuration --------------------------------------------------------------------------------------------------


def test_a_configuration_is_read_back_as_it_was_written() -> None:
    room, keys = fresh(), [PEM, pem(ec_key())]
    sent = {
        "jwt_validation_pubkeys": keys,
        "jwt_supported_algs": ["RS256", "ES256"],
        "bound_issuer": ISSUER,
        "default_role": "CI",
        "provider_config": {"provider": "azure"},
        "namespace_in_state": False,
        "oidc_response_mode": "query",
        "oidc_response_types": ["code"],
    }
    room.write("auth/jwt/config", sent)
    found = room.json(room.read("auth/jwt/config"))
    assert {name: found[name] for name in sent} == {**sent, "default_role": "ci", "jwt_validation_pubkeys": [key.strip() for key in keys]}
    empty = {"oidc_discovery_url", "oidc_discovery_ca_pem", "oidc_client_id", "jwks_url", "jwks_ca_pem"}
    assert all(found[name] == "" for name in empty) and found["jwks_pairs"] == []
    assert "oidc_client_secret" not in found
    room.write("auth/jwt/config", {"jwt_validation_pubkeys": PEM})
    found = room.json(room.read("auth/jwt/config"))
    assert found["bound_issuer"] == "" and found["namespace_in_state"] is False


EXACTLY_ONE = "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs' or 'oidc_discovery_url' must be set"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, EXACTLY_ONE),
        ({"jwt_validation_pubkeys": PEM, "jwks_url": "https://x.example"}, EXACTLY_ONE),
        ({"jwks_url": "https://x.example", "oidc_discovery_url": "https://x.example"}, EXACTLY_ONE),
        ({"jwt_validation_pubkeys": "no key"}, "error parsing public key"),
        ({"jwt_validation_pubkeys": PEM, "oidc_client_id": "a"}, "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"),
        ({"jwt_validation_pubkeys": PEM, "oidc_client_secret": "a"}, "both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"),
        (
            {"jwt_validation_pubkeys": PEM, "oidc_client_id": "a", "oidc_client_secret": "b"},
            "'oidc_discovery_url' must be set for OIDC",
        ),
        ({"jwt_validation_pubkeys": PEM, "jwt_supported_algs": "HS256"}, "invalid jwt_supported_algs"),
        ({"jwt_validation_pubkeys": PEM, "jwt_supported_algs": "none"}, "invalid jwt_supported_algs"),
        ({"jwt_validation_pubkeys": PEM, "oidc_response_types": "token"}, "'code' and 'id_token' are allowed"),
        ({"jwt_validation_pubkeys": PEM, "oidc_response_mode": "fragment"}, "invalid response_mode"),
        (
            {"jwt_validation_pubkeys": PEM, "oidc_response_types": "id_token"},
            "query response_mode may not be used with an id_token response_type",
        ),
        ({"jwt_validation_pubkeys": PEM, "provider_config": {"provider": "gsuite"}}, "invalid provider_config"),
        ({"jwt_validation_pubkeys": PEM, "provider_config": {"provider": "unheard-of"}}, "invalid provider_config"),
        ({"jwks_pairs": [{"url": "https://x.example"}]}, "'jwks_pairs' is a list of objects"),
        ({"jwks_pairs": [{"jwks_url": "https://x.example"}], "jwks_ca_pem": "x"}, "give each pair its own"),
        ({"jwks_url": "https://x.example", "jwks_ca_pem": "no certificate"}, "could not parse CA PEM value successfully"),
        ({"jwks_url": "http://x.example"}, "a URL here begins with https://"),
        ({"jwks_url": "https://169.254.169.254/keys"}, "error checking jwks URL"),
    ],
)
def test_a_configuration_that_cannot_be_right_is_not_stored(fields: dict[str, Any], text: str) -> None:
    room = fresh()
    before = room.json(room.read("auth/jwt/config"))
    with pytest.raises(InvalidRequest, match=None) as caught:
        room.write("auth/jwt/config", fields)
    assert text in str(caught.value)
    assert room.json(room.read("auth/jwt/config")) == before


def test_without_a_configuration_there_is_none_to_read_and_no_login() -> None:
    room = Strongroom()
    room.write("sys/auth/jwt", {"type": "jwt"})
    with pytest.raises(NotFound):
        room.read("auth/jwt/config")
    assert answer(room, "x.y.z") == (400, "could not load configuration")


def test_the_same_engine_can_be_mounted_as_oidc() -> None:
    room = Strongroom()
    room.write("sys/auth/sso", {"type": "oidc"})
    shown = room.json(room.read("sys/auth"))["sso/"]
    assert shown["type"] == "oidc" and shown["accessor"].startswith("auth_oidc_")
    room.write("auth/sso/config", {"jwt_validation_pubkeys": PEM})


# -- roles ----------------------------------------------------------------------------------------------------------

FIELDS: dict[str, Any] = {
    "role_type": "jwt",
    "bound_audiences": ["a", "b"],
    "bound_subject": "somebody",
    "bound_claims_type": "glob",
    "bound_claims": {"ref": "refs/heads/*", "/deep/er": ["x", "y"]},
    "claim_mappings": {"repository": "repo", "/deep/er": "deeper"},
    "user_claim": "/deep/name",
    "user_claim_json_pointer": True,
    "groups_claim": "groups",
    "oidc_scopes": ["profile", "email"],
    "allowed_redirect_uris": ["https://a.example/callback", "http://localhost:8250/oidc/callback"],
    "callback_mode": "direct",
    "poll_interval": 7,
    "verbose_oidc_logging": True,
    "max_age": 60,
    "clock_skew_leeway": -1,
    "expiration_leeway": 10,
    "not_before_leeway": 20,
    **PARAMETERS,
}


def test_every_field_of_a_role_is_read_back(room: Strongroom) -> None:
    warnings = room.write("auth/jwt/role/Full", FIELDS).warnings
    found = room.json(room.read("auth/jwt/role/full"))
    assert {name: found[name] for name in FIELDS} == FIELDS
    assert any("verbose_oidc_logging" in warning for warning in warnings)
    room.write("auth/jwt/role/full", {"token_ttl": "15m"})
    found = room.json(room.read("auth/jwt/role/full"))
    assert found["token_ttl"] == 900 and found["bound_subject"] == "somebody" and found["role_type"] == "jwt"
    assert "full" in room.list("auth/jwt/role")


def test_a_role_is_for_browsers_unless_it_says_otherwise(room: Strongroom) -> None:
    room.write("auth/jwt/role/browser", {"user_claim": "sub", "allowed_redirect_uris": "https://a.example/callback"})
    found = room.json(room.read("auth/jwt/role/browser"))
    assert (found["role_type"], found["bound_claims_type"], found["callback_mode"]) == ("oidc", "string", "client")
    assert answer(room, "x.y.z", "browser") == (400, "role with oidc role_type is not allowed")


JWT = {"role_type": "jwt", "user_claim": "sub", "bound_audiences": "a"}


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"user_claim": "sub"}, "'allowed_redirect_uris' must be set if 'role_type' is 'oidc' or unspecified."),
        ({**JWT, "user_claim": ""}, "a user claim must be defined on the role"),
        ({**JWT, "bound_audiences": ""}, "must have at least one bound constraint when creating/updating a role"),
        ({**JWT, "role_type": "saml"}, "invalid 'role_type'"),
        ({**JWT, "bound_claims_type": "regex"}, "invalid 'bound_claims_type'"),
        ({**JWT, "callback_mode": "carrier pigeon"}, "invalid 'callback_mode'"),
        ({**JWT, "bound_claims": {"a": {"b": "c"}}}, 'bound claim "a" is not a string, bool, int or list'),
        ({**JWT, "bound_claims": {"a": 1.5}}, 'bound claim "a" is not a string, bool, int or list'),
        ({**JWT, "bound_claims": {"a": []}}, 'bound claim "a" is not a string, bool, int or list'),
        ({**JWT, "bound_claims_type": "glob", "bound_claims": {"a": 1}}, "claim is not a string"),
        ({**JWT, "claim_mappings": {"a": "role"}}, 'metadata key "role" is reserved'),
        ({**JWT, "claim_mappings": {"a": "x", "b": "x"}}, 'multiple keys are mapped to metadata key "x"'),
        ({**JWT, "allowed_redirect_uris": "http://a.example/callback"}, "a redirect URI is https://"),
        ({**JWT, "allowed_redirect_uris": "https://user@a.example/callback"}, "a redirect URI is https://"),
        ({**JWT, "allowed_redirect_uris": "https://a.example/callback#x"}, "a redirect URI is https://"),
        ({**JWT, "allowed_redirect_uris": "https://*.example/callback"}, "a redirect URI is https://"),
        ({**JWT, "allowed_redirect_uris": "javascript:alert(1)"}, "a redirect URI is https://"),
        ({**JWT, "expiration_leeway": 90_000}, "a leeway has at most"),
        ({**JWT, "token_ttl": 20, "token_max_ttl": 10}, "'token_ttl' cannot be greater than 'token_max_ttl'"),
        ({**JWT, "bound_audiences": ["x"] * 65}, "'bound_audiences' has at most 64"),
        ({**JWT, "bound_claims": {"a": "x" * 1_025}}, "'bound_claims' has at most 64"),
    ],
)
def test_a_role_that_cannot_be_right_is_not_stored(room: Strongroom, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        room.write("auth/jwt/role/wrong", fields)
    assert text in str(caught.value)
    with pytest.raises(NotFound):
        room.read("auth/jwt/role/wrong")


@pytest.mark.parametrize("name", ["root", "Root", " root", "root\t", "ＲＯＯＴ", "ro\u00adot", "a,Root"])
@pytest.mark.parametrize("field", ["token_policies", "policies"])
def test_no_role_gets_root_or_what_resembles_it(room: Strongroom, name: str, field: str) -> None:
    with pytest.raises(InvalidRequest):
        room.write("auth/jwt/role/rooted", {**JWT, field: name})


# -- logins ---------------------------------------------------------------------------------------------------------


def test_a_good_token_gives_a_token_of_the_role(room: Strongroom) -> None:
    role(room, token_policies="reader", token_ttl="10m", claim_mappings={"repository": "repo", "absent": "gone"})
    auth = room.login(LOGIN, {"role": "CI", "jwt": signed(KEY, claims(room, repository="a/b"))})
    assert auth.token_policies == ("default", "reader") and auth.lease_duration == 600
    assert auth.metadata == {"role": "ci", "repo": "a/b"}
    found = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert found["display_name"] == "jwt-job-1" and found["path"] == "auth/jwt/login" and found["entity_id"]


def test_a_subject_is_one_entity_and_another_subject_another(room: Strongroom) -> None:
    role(room)
    subjects = ["repo:a/b:ref:refs/heads/main", "repo:a/b:ref:refs/heads/Main", "repo:a/b:ref:refs/heads/main", "x%2Fy", "x/y"]
    entities = [room.login(LOGIN, {"role": "ci", "jwt": signed(KEY, claims(room, sub=subject))}).entity_id for subject in subjects]
    assert entities[0] == entities[2] and len(set(entities)) == 4


def test_the_default_role_is_that_of_a_login_which_names_none() -> None:
    room = fresh()
    role(room)
    token = signed(KEY, claims(room))
    assert answer(room, token, "") == (400, "missing role")
    room.write("auth/jwt/config", {"jwt_validation_pubkeys": PEM, "bound_issuer": ISSUER, "default_role": "ci"})
    assert answer(room, token, "") == (200, "")
    assert answer(room, token, "other") == (400, 'role "other" could not be found')


def test_a_login_comes_from_the_roles_networks(room: Strongroom) -> None:
    role(room, "near", token_bound_cidrs="10.0.0.0/8")
    token = signed(KEY, claims(room))
    assert answer(room, token, "near", peer=Peer("127.0.0.1", 1)) == (403, "permission denied")
    assert answer(room, token, "near", peer=Peer("10.1.2.3", 1)) == (200, "")


AUDIENCE = "error validating token: invalid audience (aud) claim: audience claim does not match any expected audience"
UNBOUND = "audience claim found in JWT but no audiences bound to the role"


@pytest.mark.parametrize(
    ("audience", "bound", "text"),
    [
        ("strongroom", "strongroom", ""),
        (["strongroom"], "strongroom", ""),
        (["other", "strongroom"], "strongroom", ""),
        ("strongroom", "other,strongroom", ""),
        ("strongroom2", "strongroom", AUDIENCE),
        ("strong", "strongroom", AUDIENCE),
        (["strongroo", "m"], "strongroom", AUDIENCE),
        ([], "strongroom", AUDIENCE),
        (None, "strongroom", AUDIENCE),
        (None, "", ""),
        ("strongroom", "", UNBOUND),
        (["strongroom"], "", UNBOUND),
    ],
)
def test_one_audience_and_a_list_of_audiences_compare_alike(room: Strongroom, audience: Any, bound: str, text: str) -> None:
    role(room, "aud", bound_audiences=bound, bound_subject="job-1")
    assert answer(room, signed(KEY, claims(room, aud=audience)), "aud") == (400 if text else 200, text)


BOUND = "error validating claims: claim"


@pytest.mark.parametrize(
    ("kind", "bound", "value", "fits"),
    [
        ("string", "main", "main", True),
        ("string", ["dev", "main"], "main", True),
        ("string", "main", ["dev", "main"], True),
        ("string", "main", "Main", False),
        ("string", "main", "mainline", False),
        ("string", "main*", "mainline", False),
        ("string", "1", 1, False),
        ("string", 1, 1, True),
        ("string", 1, True, False),
        ("string", True, 1, False),
        ("string", True, True, True),
        ("string", "true", True, False),
        ("string", 1, 1.0, False),
        ("string", "main", {"main": "main"}, False),
        ("string", "main", [["main"]], False),
        ("string", "main", [], False),
        ("glob", "refs/*", "refs/heads/main", True),
        ("glob", "*", "", True),
        ("glob", "refs/heads/*", "refs/tags/main", False),
        ("glob", "*/main", "refs/heads/main2", False),
        ("glob", "r*/h*/m*", "refs/heads/main", True),
        ("glob", "a*a", "a", False),
        ("glob", "refs/head?/main", "refs/heads/main", False),
        ("glob", "*", 1, False),
    ],
)
def test_a_bound_claim_has_one_of_its_values(room: Strongroom, kind: str, bound: Any, value: Any, fits: bool) -> None:
    role(room, "bound", bound_claims_type=kind, bound_claims={"ref": bound})
    status, text = answer(room, signed(KEY, claims(room, ref=value)), "bound")
    assert (status == 200) is fits and (fits or text == f'{BOUND} "ref" does not match any associated bound claim values')


def test_a_bound_claim_that_is_not_there_is_told_apart(room: Strongroom) -> None:
    role(room, "bound", bound_claims_type="string", bound_claims={"/a/b/0": "x", "c": "y"})
    assert answer(room, signed(KEY, claims(room, a={"b": ["x"]}, c="y")), "bound") == (200, "")
    wrongs: list[Any] = [{"b": []}, {"b": "x"}, {"b": {"1": "x"}}, "b", []]
    for wrong in wrongs:
        assert answer(room, signed(KEY, claims(room, a=wrong, c="y")), "bound")[1] == f'{BOUND} "/a/b/0" is missing'


@pytest.mark.parametrize("sub", ["", " job", "job\n", "jöb", "ｊob", "job\0", "x" * 513, 7, ["job"], {"a": "b"}, True, None])
def test_a_user_claim_that_names_nobody_clearly_is_refused(room: Strongroom, sub: Any) -> None:
    role(room)
    assert answer(room, signed(KEY, claims(room, sub=sub)))[0] == 400


def test_a_user_claim_can_be_a_pointer_and_a_name_with_a_slash_is_one_without(room: Strongroom) -> None:
    role(room, "pointer", user_claim="/who/name", user_claim_json_pointer=True)
    auth = room.login(LOGIN, {"role": "pointer", "jwt": signed(KEY, claims(room, who={"name": "ann"}))})
    assert room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))["display_name"] == "jwt-ann"
    role(room, "plain", user_claim="https://x.example/name")
    assert answer(room, signed(KEY, {**claims(room), "https://x.example/name": "ann"}), "plain") == (200, "")
    role(room, "slash", user_claim="/who/name")
    assert answer(room, signed(KEY, claims(room, who={"name": "ann"})), "slash") == (400, 'claim "/who/name" not found in token')


def test_groups_are_a_list_of_texts(room: Strongroom) -> None:
    role(room, "grouped", groups_claim="groups")
    for groups, status in ((["a", "b"], 200), ("a", 200), ([], 200), (None, 400), ([1], 400), ({"a": 1}, 400), (["x"] * 2_001, 400)):
        assert answer(room, signed(KEY, claims(room, groups=groups)), "grouped")[0] == status


def test_times_count_with_the_roles_leeway(room: Strongroom) -> None:
    now = room.clock.now() // 1_000_000_000
    role(room, "usual")
    role(room, "exact", clock_skew_leeway=-1, expiration_leeway=-1, not_before_leeway=-1)
    bare: dict[str, Any] = {"iat": None, "nbf": None, "exp": None}
    table: list[tuple[dict[str, Any], bool, bool]] = [
        ({"exp": now - 59}, True, False),
        ({"exp": now - 61}, False, False),
        ({"nbf": now + 59}, True, False),
        ({"nbf": now + 61}, False, False),
        ({"iat": now + 61}, False, False),
        ({**bare, "exp": now + 10}, True, False),  # without nbf it was valid from exp - not_before_leeway on
        ({**bare, "iat": now - 100}, True, False),  # without exp it ends expiration_leeway after that
        ({**bare, "iat": now - 300}, False, False),
        (bare, False, False),
        ({"exp": now + 300}, True, True),
    ]
    for changes, usual, exact in table:
        token = signed(KEY, claims(room, **changes))
        assert (answer(room, token, "usual")[0] == 200, answer(room, token, "exact")[0] == 200) == (usual, exact), changes


def test_a_renewal_goes_by_the_role_as_it_is_and_a_deleted_role_ends_its_tokens() -> None:
    room = fresh()
    role(room, token_ttl=600)
    token = room.login(LOGIN, {"role": "ci", "jwt": signed(KEY, claims(room))}).client_token.reveal()
    role(room, token_ttl=300)
    assert room.write("auth/token/renew-self", token=token).auth.lease_duration == 300  # type: ignore[union-attr]
    room.delete("auth/jwt/role/ci")
    with pytest.raises(PermissionDenied):
        room.read("auth/token/lookup-self", token=token)


def test_groups_of_secureauth_come_as_one_text(room: Strongroom) -> None:
    other = fresh()
    other.write("auth/jwt/config", {"jwt_validation_pubkeys": PEM, "provider_config": {"provider": "secureauth"}})
    role(other, groups_claim="groups", bound_claims={"groups": "b"})
    assert answer(other, signed(KEY, claims(other, groups="a, b"))) == (200, "")
    role(room, "one-text", groups_claim="groups", bound_claims={"groups": "b"})
    assert answer(room, signed(KEY, claims(room, groups="a, b")), "one-text")[0] == 400


# -- whatever an issuer says ------------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20)
Values = st.SearchStrategy[Any]
DEEPER: Values = st.deferred(lambda: st.lists(VALUES, max_size=4) | st.dictionaries(st.text(max_size=8), VALUES, max_size=4))
VALUES: Values = SCALARS | DEEPER
NAMES = ("iss", "aud", "sub", "iat", "nbf", "exp", "groups", "a", "who")


@given(st.dictionaries(st.sampled_from(NAMES), VALUES))
def test_whatever_a_token_claims_is_an_answer_and_no_fault(room: Strongroom, changes: dict[str, Any]) -> None:
    """A fault is an exception that is no error of ours: the room raises it."""
    pointed = {
        "user_claim": "/who/0/name",
        "user_claim_json_pointer": True,
        "claim_mappings": {"/a/b": "b", "sub": "s"},
        "groups_claim": "/groups",
    }
    role(room, "odd", **pointed, bound_claims={"/a/0": [1, True, "x"], "/a/b/c": "y"})
    role(room, "even", bound_claims_type="glob", bound_claims={"a": ["*x*", "y"]}, groups_claim="groups", claim_mappings={"a": "b"})
    found = claims(room, groups=["g"], a={"b": "x"}, who=[{"name": "ann"}])
    token = signed(KEY, {**found, **changes})
    for name in ("odd", "even"):
        assert answer(room, token, name)[0] in (200, 400)
