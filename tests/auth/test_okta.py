"""okta: configuration, mappings, logins with and without a second factor, guessing, and renewals (T1.1, T1.3, T1.5, T21.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from strongroom.auth.okta import api as module
from strongroom.core.request import Operation, Peer
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied
from strongroom.outbound.client import Outbound
from strongroom.outbound.dialer import Dialer
from strongroom.testing import Strongroom
from tests.support.elsewhere import Elsewhere, elsewhere
from tests.support.okta_api import API_TOKEN, OktaApi, Person

AUTH = "auth/okta/"
NAME = "dev.okta.example"
FACTORS = [("token:software:totp", "OKTA"), ("push", "OKTA"), ("token:software:totp", "GOOGLE")]


class House(NamedTuple):
    """A room with okta mounted, and the Okta that it asks."""

    room: Strongroom
    api: OktaApi
    host: Elsewhere

    @property
    def ada(self) -> Person:
        return self.api.people[0]

    def answer(self, name: str = "ada@example.com", password: str = "right", **fields: Any) -> tuple[int, str]:
        """Status and text of a login."""
        work = self.room.request(Operation.UPDATE, AUTH + "login/" + name, {"password": password, **fields}, token="")
        return (200, "") if work.error is None else (work.error.status, str(work.error))

    def login(self, name: str = "ada@example.com", **fields: Any) -> Any:
        return self.room.login(AUTH + "login/" + name, {"password": "right", **fields})

    def configure(self, **fields: Any) -> Any:
        base = {"org_name": "dev", "base_url": f"okta.example:{self.host.port}", "api_token": API_TOKEN}
        return self.room.write(AUTH + "config", base | fields)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with elsewhere(tmp_path_factory.mktemp("okta"), OktaApi([]), names=(NAME,)) as made:
        yield made


@pytest.fixture
def house(host: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.0)
    api = OktaApi(
        [Person("00u1", "Ada@example.com", "right", ["Everyone", "Dev Team"]), Person("00u2", "bob@example.com", "bobs", ["Everyone"])]
    )
    host.handler = api
    host.asked.clear()
    room = Strongroom(outbound=Outbound(Dialer(resolve=lambda _host, _timeout: ["127.0.0.1"]), roots=host.ca_pem))
    room.write("sys/auth/okta", {"type": "okta"})
    made = House(room, api, host)
    made.configure()
    room.write(AUTH + "groups/dev team", {"policies": "developer,reader"})
    room.write(AUTH + "groups/local", {"policies": "local"})
    room.write(AUTH + "users/ada@example.com", {"groups": "local", "policies": "own"})
    return made


WRONG = (400, "okta authentication failed")
LOCKED = (403, "permission denied")


# -- configuration and mappings -------------------------------------------------------------------------------------


def test_the_configuration_is_read_back_without_the_api_token(house: House) -> None:
    house.configure(token_ttl="10m", bypass_okta_mfa=True)
    answer = house.room.read(AUTH + "config")
    data = house.room.json(answer)
    assert (data["org_name"], data["organization"], data["bypass_okta_mfa"]) == ("dev", "dev", True)
    assert data["token_ttl"] == 600 and "ttl" not in data
    assert API_TOKEN not in str(data)
    assert "MFA bypass" in answer.warnings[0]
    house.configure(api_token="", bypass_okta_mfa=False)
    assert "No Okta API token" in house.room.read(AUTH + "config").warnings[0]


@pytest.mark.parametrize(
    "fields",
    [
        {"org_name": ""},
        {"org_name": "a/b"},
        {"org_name": "u:p@h"},
        {"base_url": "okta.com/x"},
        {"base_url": "okta.com?"},
        {"api_token": "a\r\nb"},
    ],
)
def test_a_configuration_that_leads_elsewhere_is_refused(house: House, fields: dict[str, str]) -> None:
    with pytest.raises(InvalidRequest):
        house.configure(**fields)


def test_old_names_of_the_configuration_count(house: House) -> None:
    house.room.write("sys/auth/old", {"type": "okta"})
    with pytest.raises(NotFound):
        house.room.read("auth/old/config")
    house.room.write("auth/old/config", {"organization": "dev", "token": "t", "production": False})
    assert house.room.json(house.room.read("auth/old/config"))["base_url"] == "oktapreview.com"


def test_users_and_groups_are_read_back_listed_and_deleted(house: House) -> None:
    room = house.room
    assert room.json(room.read(AUTH + "users/ADA@example.com")) == {"groups": ["local"], "policies": ["own"]}
    assert room.json(room.read(AUTH + "groups/DEV Team")) == {"policies": ["developer", "reader"]}
    assert room.list(AUTH + "users") == ["ada@example.com"]
    assert room.list(AUTH + "groups") == ["dev team", "local"]
    room.write(AUTH + "users/ada@example.com", {"groups": "local,dev team", "policies": "own,extra,own"})
    assert room.json(room.read(AUTH + "users/ada@example.com")) == {"groups": ["local", "dev team"], "policies": ["own", "extra"]}
    room.write(AUTH + "users/ada@example.com", {"groups": "local"})
    assert room.json(room.read(AUTH + "users/ada@example.com")) == {"groups": ["local"], "policies": []}, "a write replaces"
    for path in ("users/ada@example.com", "groups/dev team"):
        room.delete(AUTH + path)
        with pytest.raises(NotFound):
            room.read(AUTH + path)


@pytest.mark.parametrize("path", ["users/a b", "users/ädа", "groups/grüppe", "groups/ x", "groups/a\x00b"])
def test_names_are_plain(house: House, path: str) -> None:
    with pytest.raises(InvalidRequest):
        house.room.write(AUTH + path, {"policies": "x"})


def test_no_mapping_leads_to_root(house: House) -> None:
    for path in ("users/eve", "groups/eve"):
        with pytest.raises(InvalidRequest):
            house.room.write(AUTH + path, {"policies": "root"})


# -- login ----------------------------------------------------------------------------------------------------------


def test_a_person_gets_the_policies_of_all_groups_and_his_own(house: House) -> None:
    auth = house.login()
    assert auth.policies == ("default", "developer", "local", "own", "reader")
    assert auth.metadata == {"username": "ada@example.com", "policies": "developer,local,own,reader"}
    found = house.room.json(house.room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert (found["display_name"], found["path"]) == ("okta-ada@example.com", "auth/okta/login/ada@example.com")
    assert [asked.path for asked in house.host.asked] == ["/api/v1/authn", "/api/v1/users/00u1/groups"]
    assert "authorization" not in house.host.asked[0].headers
    assert house.room.token not in str(house.host.asked)


def test_without_an_api_token_only_local_groups_count(house: House) -> None:
    house.configure(api_token="")
    assert house.login().policies == ("default", "local", "own")
    assert len(house.host.asked) == 1


def test_every_spelling_of_a_name_is_one_alias(house: House) -> None:
    """T1.3: the short form and any case lead to the entity of the whole name; another person is another one."""
    entities = {house.login(name).entity_id for name in ("ada@example.com", "ADA@Example.Com", "ada", "Ada")}
    assert len(entities) == 1
    assert house.room.login(AUTH + "login/bob", {"password": "bobs"}).entity_id not in entities
    for name in ("ada ", "ada%00", "ａda", "аda", "ad\u0131"):
        assert house.answer(name)[0] == 400


def test_pages_of_groups_are_asked_for_where_they_should_be(house: House) -> None:
    """What Okta says is the next page is asked of Okta, also where the link says another host."""
    house.ada.groups = [f"g{number}" for number in range(7)] + ["dev team"]
    house.api.page = 3
    assert "developer" in house.login().policies
    assert [asked.query.get("after") for asked in house.host.asked] == [None, None, "3", "6"]


@pytest.mark.parametrize("status", ["LOCKED_OUT", "PASSWORD_EXPIRED", "PASSWORD_RESET", "RECOVERY", "MFA_CHALLENGE", ""])
def test_other_states_are_no_login(house: House, status: str) -> None:
    house.ada.status = status
    assert house.answer() == WRONG


def test_a_password_that_ends_soon_is_told(house: House) -> None:
    house.ada.status = "PASSWORD_WARN"
    work = house.room.request(Operation.UPDATE, AUTH + "login/ada", {"password": "right"}, token="")
    assert work.response is not None
    assert "changed soon" in work.response.warnings[0]


def test_a_login_comes_from_where_the_configuration_says(house: House) -> None:
    house.configure(token_bound_cidrs="10.0.0.0/8")
    with pytest.raises(PermissionDenied):
        house.login()
    assert house.host.asked == []
    assert house.room.login(AUTH + "login/ada", {"password": "right"}, peer=Peer("10.1.1.1", 1)).entity_id


# -- the second factor ----------------------------------------------------------------------------------------------


@pytest.fixture
def second(house: House) -> House:
    house.ada.status = "MFA_REQUIRED"
    house.ada.factors = list(FACTORS)
    return house


def test_a_passcode(second: House) -> None:
    assert second.login(totp="123456")
    assert second.login(totp="123456", provider="google")
    assert second.host.asked[-2].path == "/api/v1/authn/factors/f2/verify"
    assert second.answer(totp="000000") == WRONG
    assert second.answer(totp="1", provider="duo")[1].startswith("the provider is not among the supported ones")


def test_a_push_is_waited_for(second: House) -> None:
    second.ada.pushes = ["WAITING", "WAITING", "SUCCESS"]
    assert second.login()
    for said, text in (("REJECTED", "denied"), ("TIMEOUT", "failed to complete"), ("ERROR", "okta authentication failed")):
        second.ada.pushes = ["WAITING", said]
        assert text in second.answer()[1]


def test_a_push_nobody_answers_ends(second: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 100.0)
    second.ada.pushes = ["WAITING"]
    assert "failed to complete" in second.answer()[1]


def test_what_cannot_be_answered_is_said(second: House) -> None:
    second.ada.number, second.ada.pushes = 42, ["WAITING"]
    assert "give a passcode of the app as 'totp'" in second.answer()[1]
    second.ada.factors = FACTORS[:1]
    assert "'totp' passcode parameter is required" in second.answer()[1]
    second.ada.factors = [("sms", "OKTA"), ("token:software:totp", "DUO")]
    assert "factor is required" in second.answer(totp="1")[1]
    second.ada.status = "MFA_ENROLL"
    assert "complete MFA enrollment" in second.answer()[1]


def test_a_factor_that_names_a_path_is_not_asked(second: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second.ada, "id", "../../admin")
    second.ada.status = "SUCCESS"
    assert second.answer()[0] == 502
    assert [asked.path for asked in second.host.asked] == ["/api/v1/authn"]


def test_the_second_factor_is_bypassed_where_that_is_configured(second: House) -> None:
    second.configure(bypass_okta_mfa=True)
    assert second.login()
    second.ada.status = "MFA_ENROLL"
    assert second.login()


# -- guessing -------------------------------------------------------------------------------------------------------


def test_guesses_lock_a_name_before_okta_hears_of_them(house: House) -> None:
    for name in ("ada@example.com", "ADA@example.com", "Ada@Example.com", "ada@example.com", "ada@EXAMPLE.com"):
        assert house.answer(name, "wrong") == WRONG
    count = len(house.host.asked)
    assert house.answer() == house.answer(password="wrong") == LOCKED
    assert house.answer("ada") == LOCKED, "the short form leads to a name that is locked"
    assert len(house.host.asked) <= count + 2
    house.room.advance(901)
    assert house.answer() == (200, "")


def test_unknown_names_lock_alike(house: House) -> None:
    answers = [house.answer("nobody@example.com", "wrong") for _ in range(6)]
    assert answers == [WRONG] * 5 + [LOCKED]


def test_passcodes_count_as_guesses(second: House) -> None:
    for _ in range(5):
        assert second.answer(totp="000000") == WRONG
    assert second.answer(totp="123456") == LOCKED


@pytest.mark.parametrize("status", [429, 500, 503, 404])
def test_what_okta_could_not_say_is_no_guess(house: House, status: int) -> None:
    house.api.status = status
    for _ in range(6):
        assert house.answer(password="wrong")[0] == 502
    house.api.status = 0
    assert house.answer() == (200, "")


# -- renewal --------------------------------------------------------------------------------------------------------


def test_a_renewal_asks_whether_the_person_still_may(house: House) -> None:
    token = house.login("ada").client_token.reveal()

    def renew() -> str:
        work = house.room.request(Operation.UPDATE, "auth/token/renew-self", {}, token=token)
        return "" if work.error is None else str(work.error)

    assert renew() == ""
    assert "right" not in str(house.host.asked[-2:]), "no password is kept for it"
    house.ada.groups.remove("Dev Team")
    assert renew() == "policies have changed, not renewing"
    house.ada.groups.append("Dev Team")
    house.ada.active = "SUSPENDED"
    assert "not know the user as active" in renew()
    house.ada.active = "ACTIVE"
    house.ada.login = "other@example.com"
    assert "another name" in renew()
    house.configure(api_token="")
    assert "without an api_token" in renew()


@pytest.mark.parametrize("gone", ["users/ada@example.com", "groups/dev team", "groups/local"])
def test_tokens_end_with_what_gave_them_their_policies(house: House, gone: str) -> None:
    token = house.login().client_token.reveal()
    house.room.request(Operation.DELETE, AUTH + gone)
    assert house.room.request(Operation.READ, "auth/token/lookup-self", token=token).error is not None
    again = house.login().client_token.reveal()
    assert house.room.request(Operation.READ, "auth/token/lookup-self", token=again).error is None
