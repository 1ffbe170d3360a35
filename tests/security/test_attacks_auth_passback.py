"""Who may write a configuration and does not know the secrets in it cannot have them sent to himself.

Everywhere else this is called a pass-back: the password of a directory's account is shown to nobody, so one points the mount at a directory
of one's own and waits for it to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from strongroom.errors import InvalidRequest
from strongroom.outbound.client import Outbound
from strongroom.testing import Strongroom
from tests.support.elsewhere import elsewhere
from tests.support.github_api import GitHubApi, Person

Fields = Mapping[str, Any]

CONFIGS: Mapping[str, Fields] = {
    "ldap": {"url": "ldaps://a.example,ldaps://b.example", "binddn": "cn=x", "bindpass": "a secret"},
    "okta": {"org_name": "acme", "api_token": "a-secret"},
    "radius": {"host": "a.example", "secret": "a secret of radius"},
}
MOVES: list[tuple[str, Fields, Fields]] = [
    ("ldap", {"url": "ldaps://evil.example"}, {"bindpass": "known"}),
    ("ldap", {"url": "ldaps://a.example,ldaps://evil.example"}, {"bindpass": "known"}),
    ("ldap", {"url": "ldap://a.example"}, {"bindpass": "known"}),
    ("ldap", {"url": "ldaps://a.example:3269", "binddn": "cn=y"}, {"bindpass": "known"}),
    ("okta", {"org_name": "evil"}, {"api_token": "known"}),
    ("okta", {"base_url": "evil.example"}, {"token": "known"}),
    ("okta", {"production": False}, {"api_token": "known"}),
    ("radius", {"host": "evil.example"}, {"secret": "known to radius"}),
    ("radius", {"port": 1_645}, {"secret": "known to radius"}),
]
STAYS: list[tuple[str, Fields]] = [
    ("ldap", {"url": "ldaps://b.example"}),
    ("ldap", {"url": "LDAPS://b.example:636 , ldaps://A.example", "userattr": "uid"}),
    ("okta", {"org_name": "acme", "token_ttl": 60}),
    ("radius", {"host": "a.example", "read_timeout": 5}),
]


def configured(kind: str, **more: Any) -> Strongroom:
    room = Strongroom()
    room.write(f"sys/auth/{kind}", {"type": kind})
    room.write(f"auth/{kind}/config", {**CONFIGS[kind], **more})
    return room


@pytest.mark.parametrize(("kind", "move", "secret"), MOVES)
def test_a_secret_does_not_go_along_to_another_place(kind: str, move: Fields, secret: Fields) -> None:
    """The control is the same move by somebody who sends the secret."""
    room = configured(kind)
    before = room.json(room.read(f"auth/{kind}/config"))
    with pytest.raises(InvalidRequest, match="not taken along"):
        room.write(f"auth/{kind}/config", move)
    assert room.json(room.read(f"auth/{kind}/config")) == before
    room.write(f"auth/{kind}/config", {**move, **secret})
    assert room.json(room.read(f"auth/{kind}/config")) != before


@pytest.mark.parametrize(("kind", "change"), STAYS)
def test_whatever_else_changes_leaves_it(kind: str, change: Fields) -> None:
    configured(kind).write(f"auth/{kind}/config", change)


def test_starttls_is_not_taken_off_from_a_kept_password() -> None:
    room = configured("ldap", url="ldap://a.example", starttls=True)
    with pytest.raises(InvalidRequest, match="not taken along"):
        room.write("auth/ldap/config", {"starttls": False})
    room.write("auth/ldap/config", {"starttls": False, "bindpass": "known"})


def test_tokens_of_people_are_not_sent_to_another_github(tmp_path: Path) -> None:
    """A renewal shows GitHub the token of the login; only where the login did. The control is the address that was."""
    alice = Person("alice", ["acme"])
    with (
        elsewhere(tmp_path / "a", GitHubApi({"acme": 7}, {"ghp_alice": alice})) as real,
        elsewhere(tmp_path / "b", GitHubApi({"acme": 7}, {"ghp_alice": alice})) as evil,
    ):
        room = Strongroom(outbound=Outbound(roots=real.ca_pem + evil.ca_pem))
        room.write("sys/auth/github", {"type": "github"})
        config = {"organization": "acme", "organization_id": 7}
        room.write("auth/github/config", {**config, "base_url": real.url + "/api/v3/"})
        token = room.login("auth/github/login", {"token": "ghp_alice"}).client_token.reveal()
        room.write("auth/github/config", {**config, "base_url": evil.url + "/api/v3/"})
        with pytest.raises(InvalidRequest, match="another address"):
            room.write("auth/token/renew-self", {}, token=token)
        assert not evil.asked
        room.write("auth/github/config", {**config, "base_url": real.url + "/api/v3/"})
        room.write("auth/token/renew-self", {}, token=token)
