"""Logging in in a browser, against a real provider over TLS (T12.4)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strongroom.auth.jwt import browser, redirects
from strongroom.auth.jwt.flows import Finished
from strongroom.auth.jwt.state import LIFE, Flow, States
from strongroom.core.request import Operation
from strongroom.core.response import Response
from strongroom.crypto.mac import Mac
from strongroom.errors import InvalidRequest, StrongroomError
from strongroom.testing import FakeClock, Strongroom
from tests.auth.audited import audit_to
from tests.support.elsewhere import Answered
from tests.support.oidc_provider import CLIENT_ID, CLIENT_SECRET, Provider, oidc_provider

REDIRECT = "http://localhost:8250/oidc/callback"
HERE = "https://localhost:8200/v1/auth/oidc/oidc/callback"
CALLBACK = "auth/oidc/oidc/callback"
NONCE = "a nonce of the client"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    with oidc_provider(tmp_path_factory.mktemp("provider")) as provider:
        provider.redirect_uris = [REDIRECT, HERE]
        yield provider


@pytest.fixture
def provider(shared: Provider) -> Provider:
    shared.claims, shared.userinfo, shared.description, shared.refuses = {"sub": "user-1"}, {}, {}, ""
    shared.instead.clear()
    shared.asked.clear()
    return shared


def fresh(provider: Provider, **config: Any) -> Strongroom:
    room = Strongroom(clock=FakeClock(int(time.time()) * 1_000_000_000))
    room.write("sys/auth/oidc", {"type": "oidc"})
    room.write(
        "auth/oidc/config",
        {
            "oidc_discovery_url": provider.issuer,
            "oidc_discovery_ca_pem": provider.ca_pem,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
            "default_role": "people",
            **config,
        },
    )
    role(room)
    return room


def role(room: Strongroom, **fields: Any) -> None:
    usual = {"user_claim": "sub", "allowed_redirect_uris": [REDIRECT, HERE], "token_policies": "reader"}
    room.write("auth/oidc/role/people", {**usual, **fields})


def begin(room: Strongroom, nonce: str = NONCE, uri: str = REDIRECT) -> dict[str, str]:
    found: dict[str, str] = room.json(room.write("auth/oidc/oidc/auth_url", {"redirect_uri": uri, "client_nonce": nonce}, token=""))
    return found


def end(room: Strongroom, sent: dict[str, str], nonce: str = NONCE) -> Response:
    return room.read(CALLBACK, {**sent, "client_nonce": nonce}, token="")


def refused(room: Strongroom, sent: dict[str, str], nonce: str = NONCE) -> str:
    """What is said of a callback that fails."""
    work = room.request(Operation.READ, CALLBACK, {**sent, "client_nonce": nonce}, token="")
    assert isinstance(work.error, StrongroomError), "it succeeded"
    return str(work.error)


EXPIRED = "Vault login failed. Expired or missing OAuth state."


def test_the_secret_is_never_shown_and_stays_where_only_it_is_left_out(provider: Provider) -> None:
    room = fresh(provider)
    found = room.json(room.read("auth/oidc/config"))
    assert "oidc_client_secret" not in found and CLIENT_SECRET not in str(found)
    again = {name: found[name] for name in ("oidc_discovery_url", "oidc_discovery_ca_pem", "oidc_client_id", "default_role")}
    room.write("auth/oidc/config", again)
    assert end(room, provider.browse(begin(room)["auth_url"])).auth is not None
    with pytest.raises(InvalidRequest, match="both 'oidc_client_id' and 'oidc_client_secret' must be set for OIDC"):
        room.write("auth/oidc/config", {**again, "oidc_client_secret": ""})
    with pytest.raises(InvalidRequest, match="both 'oidc_client_id'"):
        room.write("auth/oidc/config", {**again, "oidc_client_id": "another"})


def test_a_user_logs_in_with_pkce_a_nonce_and_a_state(provider: Provider) -> None:
    room = fresh(provider)
    role(room, oidc_scopes="profile,email", claim_mappings={"email": "mail"}, groups_claim="groups", token_ttl=600)
    provider.userinfo = {"email": "user@example.com", "groups": ["a"], "iss": "https://other.example"}
    url = begin(room)["auth_url"]
    asked = dict(parse_qsl(urlsplit(url).query))
    assert asked["scope"] == "openid profile email" and asked["code_challenge_method"] == "S256" and asked["response_type"] == "code"
    assert asked["client_id"] == CLIENT_ID and asked["redirect_uri"] == REDIRECT and len(asked["nonce"]) == 43
    auth = end(room, provider.browse(url)).auth
    assert auth is not None and auth.token_policies == ("default", "reader") and auth.lease_duration == 600
    assert auth.metadata == {"role": "people", "mail": "user@example.com"}
    found = room.json(room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert found["display_name"] == "oidc-user-1" and found["path"] == CALLBACK


def test_a_client_without_a_nonce_of_its_own_is_served_as_vault_does(provider: Provider) -> None:
    room = fresh(provider)
    assert end(room, provider.browse(begin(room, nonce="")["auth_url"]), nonce="").auth is not None


def test_a_state_leads_to_one_token(provider: Provider) -> None:
    room = fresh(provider)
    url = begin(room)["auth_url"]
    first, second = provider.browse(url), provider.browse(url)
    assert end(room, first).auth is not None
    assert refused(room, first) == EXPIRED and refused(room, second) == EXPIRED


def test_a_state_of_another_session_does_not_fit_its_code(provider: Provider) -> None:
    """The attacker's code with the victim's state, and the other way round: PKCE and nonce belong to the state."""
    room = fresh(provider)
    mine, theirs = begin(room), begin(room, "another nonce")
    my_answer, their_answer = provider.browse(mine["auth_url"]), provider.browse(theirs["auth_url"])
    swapped = {"state": my_answer["state"], "code": their_answer["code"]}
    assert refused(room, swapped) == "Vault login failed. Error exchanging oidc code: invalid_grant."
    assert refused(room, my_answer, "another nonce") == "invalid client_nonce" == refused(room, my_answer, "")
    assert end(room, my_answer).auth is not None, "the control: his own does"


def test_an_id_token_of_another_login_is_refused(provider: Provider) -> None:
    room = fresh(provider)
    provider.claims["nonce"] = "of another login"
    assert refused(room, provider.browse(begin(room)["auth_url"])).startswith("Token verification failed. invalid nonce")
    provider.claims["nonce"] = None
    assert refused(room, provider.browse(begin(room)["auth_url"])).startswith("Token verification failed. invalid nonce")


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "another client"},
        {"aud": None},
        {"aud": [CLIENT_ID, "another"]},
        {"aud": [CLIENT_ID, "another"], "azp": "another"},
        {"azp": "another"},
        {"iss": "https://other.example"},
        {"iss": None},
        {"exp": None},
        {"iat": None},
        {"exp": 1},
        {"iat": 1 << 40},
        {"sub": None},
        {"sub": 7},
    ],
)
def test_an_id_token_that_is_not_for_this_server_is_refused(provider: Provider, claims: dict[str, Any]) -> None:
    room = fresh(provider)
    provider.claims |= claims
    refused(room, provider.browse(begin(room)["auth_url"]))
    provider.claims = {"sub": "user-1", "aud": [CLIENT_ID, "another"], "azp": CLIENT_ID}
    assert end(room, provider.browse(begin(room)["auth_url"])).auth is not None


def test_the_role_judges_the_claims(provider: Provider) -> None:
    room = fresh(provider)
    role(room, bound_subject="user-2")
    assert "sub claim does not match bound subject" in refused(room, provider.browse(begin(room)["auth_url"]))
    role(room, bound_subject="", bound_claims={"hd": "example.com"})
    answer = provider.browse(begin(room)["auth_url"])
    assert 'claim "hd" is missing' in refused(room, answer)
    provider.userinfo = {"hd": "example.com"}
    assert refused(room, answer) == EXPIRED, "what the provider said once is not asked again"
    assert end(room, provider.browse(begin(room)["auth_url"])).auth is not None


def test_userinfo_is_of_the_same_subject_and_never_overrides_what_is_signed(provider: Provider) -> None:
    room = fresh(provider)
    role(room, bound_claims={"hd": "example.com"})
    provider.userinfo = {"hd": "example.com", "sub": "another"}
    assert 'claim "hd" is missing' in refused(room, provider.browse(begin(room)["auth_url"]))
    provider.claims["hd"], provider.userinfo = "other.example", {"hd": "example.com"}
    assert 'claim "hd" does not match' in refused(room, provider.browse(begin(room)["auth_url"]))


def test_an_id_token_is_not_proved_by_userinfo(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """Users choose much of what a provider tells of them: a nonce there would make one's own login out of anybody's id token."""
    room = fresh(provider)
    role(room)
    provider.claims["nonce"], url = None, begin(room)["auth_url"]
    provider.userinfo = {"nonce": dict(parse_qsl(urlsplit(url).query))["nonce"]}
    assert refused(room, provider.browse(url)).startswith("Token verification failed. invalid nonce")
    monkeypatch.setattr("strongroom.auth.jwt.provider.PROOF", frozenset())
    url = begin(room)["auth_url"]
    provider.userinfo = {"nonce": dict(parse_qsl(urlsplit(url).query))["nonce"]}
    assert end(room, provider.browse(url)).auth is not None, "the negative control"


def test_how_long_ago_the_user_proved_himself_can_be_bounded(provider: Provider) -> None:
    room = fresh(provider)
    role(room, max_age="5m")
    url = begin(room)["auth_url"]
    assert dict(parse_qsl(urlsplit(url).query))["max_age"] == "300"
    assert end(room, provider.browse(url)).auth is not None
    for since in (int(time.time()) - 3_600, None, "now", True):
        provider.claims["auth_time"] = since
        assert "Token verification failed." in refused(room, provider.browse(begin(room)["auth_url"]))


# -- redirect URIs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("https://a.example/callback", True),
        ("https://a.example/callback/", False),
        ("https://a.example/Callback", False),
        ("https://A.example/callback", False),
        ("https://a.example/callback?x=1", False),
        ("https://a.example:443/callback", False),
        ("https://a.example/callback#x", False),
        ("https://a.example@evil.example/callback", False),
        ("https://evil.example/?https://a.example/callback", False),
        ("https://a.example.evil.example/callback", False),
        ("//a.example/callback", False),
        ("http://a.example/callback", False),
        ("http://localhost:8250/oidc/callback", True),
        ("http://localhost:9999/oidc/callback", True),
        ("http://localhost/oidc/callback", True),
        ("http://localhost:8250/other", False),
        ("http://127.0.0.1:8250/oidc/callback", False),
        ("https://localhost:8250/oidc/callback", False),
        ("http://localhost.evil.example:8250/oidc/callback", False),
        ("http://localhost:8250@evil.example/oidc/callback", False),
        ("http://localhost:8250/oidc/callback\n", False),
        ("", False),
    ],
)
def test_a_redirect_uri_is_one_of_the_roles_exactly(uri: str, allowed: bool) -> None:
    assert redirects.allows(("https://a.example/callback", "http://localhost:8250/oidc/callback"), uri) is allowed


def test_a_login_to_a_foreign_redirect_uri_is_not_begun(provider: Provider) -> None:
    room = fresh(provider)
    assert begin(room, uri="https://evil.example/callback") == {"auth_url": ""}
    assert begin(room, uri="http://localhost:4711/oidc/callback")["auth_url"], "the control"
    for fields, text in (({}, "missing redirect_uri"), ({"redirect_uri": REDIRECT, "role": "none"}, 'role "none" could not be found')):
        with pytest.raises(InvalidRequest, match=text):
            room.write("auth/oidc/oidc/auth_url", fields, token="")


def test_a_mount_without_a_client_id_has_no_browser_login(provider: Provider) -> None:
    room = fresh(provider, oidc_client_id="", oidc_client_secret="")
    with pytest.raises(InvalidRequest, match="OIDC login is not configured for this mount"):
        begin(room)


# -- states -----------------------------------------------------------------------------------------------------------


def test_a_login_that_is_begun_stores_nothing(provider: Provider) -> None:
    room = fresh(provider)
    before = len(room.storage.scan(b"", b"\xff" * 64, 10_000))
    states = {begin(room)["auth_url"] for _ in range(50)}
    assert len(states) == 50 and len(room.storage.scan(b"", b"\xff" * 64, 10_000)) == before


def test_a_state_ends_and_what_became_of_it_is_forgotten(provider: Provider) -> None:
    room = fresh(provider)
    before = len(room.storage.scan(b"", b"\xff" * 64, 10_000))
    late, taken = provider.browse(begin(room)["auth_url"]), provider.browse(begin(room)["auth_url"])
    auth = end(room, taken).auth
    assert auth is not None
    room.advance(LIFE)
    assert refused(room, late) == EXPIRED and refused(room, taken) == EXPIRED
    room.write("auth/token/revoke", {"token": auth.client_token.reveal()})
    room.delete("auth/oidc/role/people")
    room.advance(86_400 * 40)
    flows = room.transact(lambda call: list(call.transaction.view(_mount(room, call)).digests(b"f")))
    assert flows == [] and before > 0


def _mount(room: Strongroom, call: Any) -> bytes:
    return room.core.mounts.table(call.transaction).by_path["auth/oidc/"].uuid


STATES = States(Mac(b"k" * 32), b"m" * 16)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_state_opens_that_the_mount_did_not_make(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        STATES.open(data.decode("latin-1"), 0)


@given(st.integers(0, 10_000), st.integers(1, 127))
def test_a_changed_state_does_not_open(place: int, change: int) -> None:
    flow = STATES.begin("people", REDIRECT, NONCE, 0)
    text = STATES.text(flow)
    assert STATES.open(text, 1) == flow
    at = place % len(text)
    changed = text[:at] + chr((ord(text[at]) + change) % 128) + text[at + 1 :]
    with pytest.raises(InvalidRequest):
        STATES.open(changed, 1)


def test_a_state_belongs_to_its_mount_and_key() -> None:
    text = STATES.text(STATES.begin("people", REDIRECT, NONCE, 0))
    for other in (States(Mac(b"k" * 32), b"n" * 16), States(Mac(b"l" * 32), b"m" * 16)):
        with pytest.raises(InvalidRequest):
            other.open(text, 1)


def test_what_must_be_secret_is_not_in_a_state() -> None:
    flow = STATES.begin("people", REDIRECT, NONCE, 0)
    shown = repr(Flow(flow.id, flow.role, flow.redirect_uri, flow.client, flow.expires))
    assert NONCE not in shown
    assert len({STATES.verifier(flow), STATES.nonce(flow), STATES.user_code(flow), STATES.text(flow)}) == 4
    assert all(secret not in shown for secret in (STATES.verifier(flow), STATES.nonce(flow), STATES.user_code(flow)))


# -- form_post and the flow without a code ------------------------------------------------------------------------------


@pytest.mark.parametrize("config", [{}, {"oidc_response_types": "id_token"}])
def test_a_provider_can_have_the_browser_send_a_form(provider: Provider, config: dict[str, Any]) -> None:
    room = fresh(provider, oidc_response_mode="form_post", **config)
    sent = provider.browse(begin(room)["auth_url"])
    shown = room.write(CALLBACK, sent, token="").bare
    assert shown is not None and shown.status == 200 and shown.content_type.startswith("text/html") and b"Signed in" in shown.body
    again = room.write(CALLBACK, sent, token="").bare
    assert again is not None and again.status == 400
    state = {"state": sent["state"], "code": sent.get("code", "")}
    assert refused(room, state, "another nonce") == "invalid client_nonce"
    assert end(room, state).auth is not None
    assert refused(room, state) == EXPIRED


def test_a_form_is_refused_where_none_was_asked_for(provider: Provider) -> None:
    room = fresh(provider)
    work = room.request(Operation.UPDATE, CALLBACK, provider.browse(begin(room)["auth_url"]), token="")
    assert work.error is not None and work.error.status == 405


def test_an_id_token_in_place_of_a_code_needs_the_configuration(provider: Provider) -> None:
    room = fresh(provider, oidc_response_mode="form_post")
    shown = room.write(CALLBACK, {"state": provider.browse(begin(room)["auth_url"])["state"], "id_token": provider.token()}, token="").bare
    assert shown is not None and shown.status == 400


def test_what_the_provider_says_of_an_error_is_not_shown(provider: Provider) -> None:
    room = fresh(provider)
    provider.refuses = "access_denied"
    sent = provider.browse(begin(room)["auth_url"])
    assert "<script>" in sent["error_description"]
    assert refused(room, sent) == "Vault login failed. The provider refused; its own page said why."
    room = fresh(provider, oidc_response_mode="form_post")
    shown = room.write(CALLBACK, provider.browse(begin(room)["auth_url"]), token="").bare
    assert shown is not None and shown.status == 400 and b"script" not in shown.body and b"alert" not in shown.body
    for hostile in ('"><script>alert(1)</script>', "x" * 3_000):
        assert refused(room, {"state": hostile, "code": hostile, "error_description": hostile}) == EXPIRED
        shown = room.write(CALLBACK, {"state": hostile, "user_code": hostile}, token="").bare
        assert shown is not None and shown.status == 400 and b"script" not in shown.body


# -- direct mode ------------------------------------------------------------------------------------------------------


def direct(provider: Provider) -> tuple[Strongroom, dict[str, str], dict[str, str]]:
    """A login that the provider ended at this server, as the browser carried it."""
    room = fresh(provider)
    role(room, callback_mode="direct", poll_interval=3)
    begun = begin(room, uri=HERE)
    return room, begun, provider.browse(begun["auth_url"])


def poll(room: Strongroom, state: str, nonce: str = NONCE) -> str:
    work = room.request(Operation.UPDATE, "auth/oidc/oidc/poll", {"state": state, "client_nonce": nonce}, token="")
    return "" if work.error is None else str(work.error)


def typed(room: Strongroom, state: str, code: str, ticket: str) -> int:
    shown = room.write(CALLBACK, {"state": state, "user_code": code, "ticket": ticket}, token="").bare
    assert shown is not None
    return shown.status


def led_here(room: Strongroom, sent: dict[str, str]) -> str:
    """The browser ends at the server: the ticket of the page it gets."""
    shown = room.read(CALLBACK, sent, token="").bare
    assert shown is not None and shown.status == 200
    found = re.search(rb'name="ticket" value="([A-Za-z0-9_-]{43})"', shown.body)
    assert found is not None
    return found[1].decode()


def test_the_audit_log_says_why_a_page_refused_and_the_page_names_no_host(provider: Provider, tmp_path: Path) -> None:
    room, begun, sent = direct(provider)
    file = audit_to(room, tmp_path)
    assert typed(room, begun["state"], "BBBB-BBBB", led_here(room, sent)) == 400
    room, begun, sent = direct(provider)
    (tmp_path / "other").mkdir()
    file_of_the_other = audit_to(room, tmp_path / "other")
    provider.instead["/token"] = Answered(200, "no object")
    shown = room.read(CALLBACK, sent, token="").bare
    assert shown is not None and shown.status == 400 and b"localhost" not in shown.body and b"audit log says why" in shown.body
    assert page_reasons(file) == ["", "The code is not the one that the program shows."]
    assert page_reasons(file_of_the_other) == ["localhost: it answered 200 with something else than the JSON that belongs there"]


def page_reasons(file: Path) -> list[str]:
    """Why pages refused, as the log says it; "" for those that did not."""
    answers = [entry["response"] for entry in map(json.loads, file.read_text().splitlines()) if entry["type"] == "response"]
    return [answer["data"].get("reason", "") for answer in answers if "http_raw_body" in answer.get("data", {})]


def test_a_client_that_polls_gets_the_token_once_the_user_typed_its_code(provider: Provider) -> None:
    room, begun, sent = direct(provider)
    assert begun["poll_interval"] == "3" and sent["state"] == begun["state"]
    assert poll(room, begun["state"]) == "authorization_pending"
    shown = room.read(CALLBACK, sent, token="").bare
    assert shown is not None and shown.status == 200 and begun["user_code"].encode() not in shown.body
    assert dict(shown.headers)["Content-Security-Policy"].startswith("default-src 'none'")
    again = room.read(CALLBACK, sent, token="").bare
    assert again is not None and again.status == 400
    room, begun, sent = direct(provider)
    ticket = led_here(room, sent)
    assert poll(room, begun["state"]) == "authorization_pending", "the user's consent at the provider alone gives nobody a token"
    assert typed(room, begun["state"], begun["user_code"].lower().replace("-", " "), ticket) == 200
    assert poll(room, begun["state"], "another") == "invalid client_nonce"
    assert poll(room, begun["state"]) == ""
    assert poll(room, begun["state"]) == EXPIRED
    assert typed(room, begun["state"], begun["user_code"], ticket) == 400


def test_another_site_cannot_type_the_code_for_the_user(provider: Provider) -> None:
    """Who began the login knows state and code; what he cannot read is the page in the victim's browser."""
    room, begun, sent = direct(provider)
    other_room_begun = begin(room, uri=HERE)
    ticket, of_another = led_here(room, sent), led_here(room, provider.browse(other_room_begun["auth_url"]))
    for forged in ("", "x" * 43, of_another):
        assert typed(room, begun["state"], begun["user_code"], forged) == 400
    assert poll(room, begun["state"]) == "authorization_pending"
    assert typed(room, begun["state"], begun["user_code"], ticket) == 200, "the control, which wrong tickets did not use up"


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_what_leads_to_this_server_needs_the_users_confirmation(provider: Provider, mode: str) -> None:
    """With form_post the victim's browser would end the attacker's login here, and the attacker take the token with his own nonce."""
    room = fresh(provider, oidc_response_mode=mode)
    spellings = [HERE, f"{HERE}/", f"{HERE}?x=1", HERE.replace("/v1", "/proxied/v1"), HERE.replace("callback", "%63allback")]
    role(room, allowed_redirect_uris=spellings)
    for uri in spellings:
        with pytest.raises(InvalidRequest, match="needs callback_mode=direct"):
            begin(room, uri=uri)
    role(room, callback_mode="direct")
    assert begin(room, uri=HERE)["user_code"]


def test_a_role_that_was_direct_meanwhile_does_not_spare_the_confirmation(provider: Provider) -> None:
    room, begun, sent = direct(provider)
    led_here(room, sent)
    role(room, callback_mode="client")
    assert refused(room, {"state": begun["state"], "code": ""}) == EXPIRED


def test_without_a_confirmation_somebody_would_get_the_victims_token(provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control of CVE-2026-33757: the attacker begins, the victim's browser ends, the attacker polls."""
    room, begun, sent = direct(provider)
    room.read(CALLBACK, sent, token="")
    assert poll(room, begun["state"]) == "authorization_pending"
    room, begun, sent = direct(provider)
    usual = browser.Browser._provided

    def open_at_once(*arguments: Any) -> Finished:
        return Finished(usual(*arguments).name, open=True)

    monkeypatch.setattr(browser.Browser, "_provided", open_at_once)
    room.read(CALLBACK, sent, token="")
    assert poll(room, begun["state"]) == ""


def test_codes_are_not_guessed(provider: Provider) -> None:
    room, begun, sent = direct(provider)
    ticket = led_here(room, sent)
    for number in range(browser.MAX_TRIES):
        assert typed(room, begun["state"], f"WRNG-{number}", ticket) == 400
    assert typed(room, begun["state"], begun["user_code"], ticket) == 400
    assert poll(room, begun["state"]) == "authorization_pending"


def test_direct_mode_needs_a_nonce_of_the_client(provider: Provider) -> None:
    room = fresh(provider)
    role(room, callback_mode="direct")
    with pytest.raises(InvalidRequest, match="missing client_nonce"):
        begin(room, nonce="", uri=HERE)


def test_in_direct_mode_a_client_need_not_know_where_the_server_is(provider: Provider) -> None:
    room = fresh(provider)
    role(room, callback_mode="direct", allowed_redirect_uris=HERE)
    url = begin(room, uri="http://localhost:4711/oidc/callback")["auth_url"]
    assert dict(parse_qsl(urlsplit(url).query))["redirect_uri"] == HERE
    role(room, callback_mode="client", allowed_redirect_uris=HERE)
    assert begin(room, uri="http://localhost:4711/oidc/callback") == {"auth_url": ""}, "the control"
