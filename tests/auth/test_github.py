"""github: the organization, mappings, logins and renewals, against GitHub's API played on the loopback."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pytest

from strongroom.auth.github import login
from strongroom.auth.github.api import MAX_PAGES, PER_PAGE
from strongroom.auth.github.login import Mapping, told
from strongroom.core.request import Operation, Peer
from strongroom.core.response import Alias
from strongroom.errors import InvalidRequest, NotFound, PermissionDenied, StrongroomError
from strongroom.outbound.client import Outbound
from strongroom.testing import Strongroom
from tests.support.elsewhere import Elsewhere, elsewhere
from tests.support.github_api import GitHubApi, Person

AUTH = "auth/github/"
ALICE = "ghp_alice0123"


class House(NamedTuple):
    """A room with github mounted, and the GitHub that it asks."""

    room: Strongroom
    api: GitHubApi
    host: Elsewhere

    def login(self, token: str = ALICE, **options: Any) -> Any:
        return self.room.login(AUTH + "login", {"token": token}, **options)

    def refusal(self, token: str = ALICE) -> str:
        with pytest.raises(StrongroomError) as refused:
            self.login(token)
        return str(refused.value)

    def configure(self, **fields: Any) -> None:
        self.room.write(AUTH + "config", {"organization": "acme", "base_url": self.host.url + "/api/v3", **fields})


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Elsewhere]:
    with elsewhere(tmp_path_factory.mktemp("github"), GitHubApi({}, {})) as made:
        yield made


@pytest.fixture
def house(host: Elsewhere) -> House:
    alice = Person("Alice", ["other", "acme"], [("acme", "dev"), ("other", "ops"), ("acme", "on-call")])
    api = GitHubApi({"acme": 41, "other": 42}, {ALICE: alice, "ghp_bob": Person("bob", ["other"], [("other", "dev")])})
    host.handler = api
    host.asked.clear()
    room = Strongroom(outbound=Outbound(roots=host.ca_pem))
    room.write("sys/auth/github", {"type": "github"})
    made = House(room, api, host)
    made.configure()
    room.write(AUTH + "map/teams/dev", {"value": "developer,reader"})
    room.write(AUTH + "map/teams/ops", {"value": "operator"})
    room.write(AUTH + "map/users/alice", {"value": "own"})
    return made


# -- configuration --------------------------------------------------------------------------------------------------


def test_the_organizations_number_is_asked_for_when_it_is_not_given(house: House) -> None:
    data = house.room.json(house.room.read(AUTH + "config"))
    assert (data["organization"], data["organization_id"], data["base_url"]) == ("acme", 41, house.host.url + "/api/v3/")
    assert "authorization" not in house.host.asked[0].headers
    house.host.asked.clear()
    house.configure(organization_id=99, token_ttl="10m", max_ttl="1h")
    data = house.room.json(house.room.read(AUTH + "config"))
    assert (data["organization_id"], data["token_ttl"], data["max_ttl"], "ttl" in data) == (99, 600, 3_600, False)
    assert house.host.asked == []
    house.room.write(AUTH + "config", {"organization": "other"})
    assert house.room.json(house.room.read(AUTH + "config"))["organization_id"] == 42, "another name is another number"
    house.room.write(AUTH + "config", {"token_policies": "x"})
    assert house.room.json(house.room.read(AUTH + "config"))["organization_id"] == 42


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"organization": ""}, "organization is a required parameter"),
        ({"organization": "nowhere"}, "organization_id not found for nowhere"),
        ({"organization": "a/../b"}, "organization is the name"),
        ({"base_url": "http://github.example.com/"}, "https://"),
        ({"base_url": "https://github.example.com/?x"}, "base_url"),
        ({"base_url": "https://169.254.169.254/"}, "give organization_id"),
        ({"base_url": "https://user:hunter2@github.example.com/"}, "URL"),
    ],
)
def test_a_configuration_that_cannot_be_right_is_refused(house: House, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidRequest, match=text) as refused:
        house.configure(**fields)
    assert "hunter2" not in str(refused.value)


def test_a_mount_that_is_not_configured_says_so() -> None:
    room = Strongroom()
    room.write("sys/auth/github", {"type": "github"})
    with pytest.raises(InvalidRequest, match="configuration has not been set"):
        room.login(AUTH + "login", {"token": "x"})
    with pytest.raises(NotFound):
        room.read(AUTH + "config")


# -- mappings -------------------------------------------------------------------------------------------------------


def test_mappings_are_read_back_listed_and_deleted(house: House) -> None:
    room = house.room
    assert room.json(room.read(AUTH + "map/teams/DEV")) == {"key": "dev", "value": "developer,reader"}
    room.write(AUTH + "map/teams/Ops", {"value": "operator, backup"})
    assert room.json(room.read(AUTH + "map/teams/ops")) == {"key": "Ops", "value": "operator, backup"}, "as it was written"
    room.write(AUTH + "map/teams/ops", {})
    assert room.json(room.read(AUTH + "map/teams/OPS")) == {"key": "ops"}
    assert room.json(room.read(AUTH + "map/teams")) == {"keys": ["dev", "ops"]}
    assert room.list(AUTH + "map/teams") == ["dev", "ops"]
    assert room.list(AUTH + "map/users") == ["alice"]
    room.delete(AUTH + "map/teams/dev")
    assert room.json(room.read(AUTH + "map/teams/dev")) is None
    room.delete(AUTH + "map/teams/ops")
    assert room.json(room.read(AUTH + "map/teams")) == {}
    with pytest.raises(NotFound):
        room.read(AUTH + "map/elsewhere/dev")


def test_a_mapping_of_before_names_were_kept_is_read() -> None:
    row = msgspec.json.decode(b'{"policies":["a","b"]}', type=Mapping)
    assert (row, told(row)) == (Mapping(("a", "b")), {"value": "a,b"})


@pytest.mark.parametrize("value", ["root", "a,root", "response-wrapping"])
def test_no_mapping_leads_to_root(house: House, value: str) -> None:
    with pytest.raises(InvalidRequest):
        house.room.write(AUTH + "map/users/alice", {"value": value})


@pytest.mark.parametrize("name", ["älice", "a b", "-a", "a" * 129])
def test_a_mapping_has_a_plain_name(house: House, name: str) -> None:
    with pytest.raises(InvalidRequest):
        house.room.write(AUTH + f"map/users/{name}", {"value": "x"})


# -- login ----------------------------------------------------------------------------------------------------------


def test_a_member_gets_the_policies_of_his_teams_and_his_own(house: House) -> None:
    auth = house.login()
    assert auth.policies == ("default", "developer", "own", "reader")
    assert auth.metadata == {"username": "Alice", "org": "acme"}
    assert auth.entity_id
    assert [asked.path for asked in house.host.asked[-3:]] == ["/api/v3/user", "/api/v3/user/orgs", "/api/v3/user/teams"]
    assert {asked.headers["authorization"] for asked in house.host.asked[-3:]} == {f"Bearer {ALICE}"}
    found = house.room.json(house.room.read("auth/token/lookup-self", token=auth.client_token.reveal()))
    assert (found["display_name"], found["path"]) == ("github-Alice", "auth/github/login")
    assert ALICE not in str(found)


def test_a_login_that_is_written_anew_is_the_same_entity(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """At GitHub people change the case of their logins themselves; what is said of an entity must not be left behind by that."""
    before = house.login().entity_id
    house.api.tokens[ALICE].login = "ALICE"
    after = house.login()
    assert (after.entity_id, after.metadata["username"]) == (before, "ALICE")
    monkeypatch.setattr(login, "Alias", lambda _name, metadata: Alias(metadata["username"], metadata))
    assert house.login().entity_id != before, "the negative control"


def test_a_team_of_the_same_name_elsewhere_does_not_count(house: House) -> None:
    """Alice is in `ops`, but of another organization; the control is bob, for whom that one is configured."""
    assert "operator" not in house.login().policies
    house.configure(organization="other")
    assert "developer" in house.login("ghp_bob").policies


def test_what_everybody_may(house: House) -> None:
    house.room.write(AUTH + "map/teams/default", {"value": "all-teams"})
    house.room.write(AUTH + "map/users/default", {"value": "all-users"})
    house.configure(token_policies="configured")
    assert {"all-teams", "all-users", "configured"} < set(house.login().policies)


def test_who_is_not_in_the_organization_does_not_get_in(house: House) -> None:
    assert house.refusal("ghp_bob") == "user is not part of required org"
    assert house.refusal("ghp_nobody").startswith("GitHub does not accept the token")
    assert house.refusal("") == "missing token"
    count = len(house.host.asked)
    assert "not a GitHub access token" in house.refusal("ghp_x\r\nhost: evil")
    assert len(house.host.asked) == count


def test_an_organization_is_known_by_its_number(house: House) -> None:
    """A name that was given up and taken by somebody else lets nobody in; the organization under its new name goes on, with a warning."""
    house.api.organizations = {"acme": 66, "acme-new": 41, "other": 42}
    assert house.refusal() == "user is not part of required org"
    house.api.tokens[ALICE].organizations = ["acme-new"]
    work = house.room.request(Operation.UPDATE, AUTH + "login", {"token": ALICE}, token="")
    assert work.response is not None
    assert 'the organization name has changed to "acme-new"' in work.response.warnings[0]


def test_long_lists_are_read_to_their_end_or_refused(house: House) -> None:
    many = [f"o{number}" for number in range(PER_PAGE * 2)]
    house.api.organizations |= {name: 100 + number for number, name in enumerate(many)}
    alice = house.api.tokens[ALICE]
    alice.organizations = [*many, "acme"]
    alice.teams = [*(("other", f"t{number}") for number in range(PER_PAGE)), ("acme", "dev")]
    assert "developer" in house.login().policies
    alice.teams = [("other", f"t{number}") for number in range(PER_PAGE * MAX_PAGES)]
    assert "more than 1000" in house.refusal()


@pytest.mark.parametrize(("status", "text"), [(403, "read:org"), (429, "read:org"), (500, "audit log"), (302, "audit log")])
def test_an_api_that_does_not_answer_lets_nobody_in(house: House, status: int, text: str) -> None:
    house.api.status = status
    assert text in house.refusal()


def test_a_login_comes_from_where_the_configuration_says(house: House) -> None:
    house.configure(token_bound_cidrs="10.0.0.0/8")
    count = len(house.host.asked)
    with pytest.raises(PermissionDenied):
        house.login()
    assert len(house.host.asked) == count, "and GitHub is not asked"
    assert house.login(peer=Peer("10.1.1.1", 1))


def test_the_callers_headers_do_not_leave(house: House) -> None:
    """T21.3: what is sent is what the method wrote."""
    house.login()
    for asked in house.host.asked:
        assert asked.headers.keys() <= {"host", "connection", "accept-encoding", "accept", "user-agent", "authorization"}
        assert house.room.token not in str(asked)


# -- renewal --------------------------------------------------------------------------------------------------------


def renew(house: House, token: str) -> str:
    work = house.room.request(Operation.UPDATE, "auth/token/renew-self", {}, token=token)
    return "" if work.error is None else str(work.error)


def test_a_renewal_asks_again(house: House) -> None:
    token = house.login().client_token.reveal()
    assert renew(house, token) == ""
    alice = house.api.tokens[ALICE]
    alice.teams.remove(("acme", "dev"))
    assert renew(house, token) == "policies have changed, not renewing"
    alice.teams.append(("acme", "dev"))
    alice.organizations.remove("acme")
    assert renew(house, token) == "user is not part of required org"
    del house.api.tokens[ALICE]
    assert renew(house, token).startswith("GitHub does not accept the token")


@pytest.mark.parametrize("gone", ["users/alice", "teams/dev"])
def test_tokens_end_with_what_gave_them_their_policies(house: House, gone: str) -> None:
    token, path = house.login().client_token.reveal(), "auth/token/lookup-self"
    house.room.request(Operation.DELETE, AUTH + "map/teams/ops")
    assert house.room.request(Operation.READ, path, token=token).error is None, "she was never on that team"
    house.room.request(Operation.DELETE, AUTH + "map/" + gone)
    assert house.room.request(Operation.READ, path, token=token).error is not None
    assert house.room.request(Operation.READ, path, token=house.login().client_token.reveal()).error is None
