"""One person is one person, by whichever of his names he logs in."""

from __future__ import annotations

import pytest

from strongroom.auth.ldap import login
from strongroom.errors import PermissionDenied
from strongroom.outbound.ldap.messages import Answer
from strongroom.testing import Strongroom
from tests.support.scripted_directory import SEARCH, entry, result, scripted

EITHER = "(|(uid={{.Username}})(mail={{.Username}}))"
DENIES = 'path "secret/data/payroll" { capabilities = ["deny"] }'
ALLOWS = 'path "secret/data/*" { capabilities = ["read"] }'


def one_person(request: Answer) -> bytes:
    """A directory whose one entry answers to every name, with every password."""
    found = entry(request, "uid=ada,ou=people", uid=["Ada"]) if request.kind == SEARCH else b""
    return found + result(request)


def logged_in(room: Strongroom, url: str, name: str) -> str:
    room.write("sys/auth/ldap", {"type": "ldap"})
    room.write("sys/policies/acl/denies", {"policy": DENIES})
    room.write("sys/policies/acl/allows", {"policy": ALLOWS})
    room.write("secret/data/payroll", {"data": {"a": "b"}})
    fields = {"url": url, "binddn": "cn=x", "bindpass": "y", "userattr": "uid", "userfilter": EITHER, "token_policies": "allows"}
    room.write("auth/ldap/config", fields)
    room.write("auth/ldap/users/ada", {"policies": "denies"})
    return room.login(f"auth/ldap/login/{name}", {"password": "right"}).client_token.reveal()


@pytest.mark.parametrize("name", ["ada", "ADA", "ada@example.com"])
def test_what_is_written_for_a_user_counts_by_whichever_name_he_logs_in(name: str) -> None:
    with scripted(one_person) as fake:
        room = Strongroom()
        token = logged_in(room, fake.url, name)
        with pytest.raises(PermissionDenied):
            room.read("secret/data/payroll", token=token)
        room.delete("auth/ldap/users/ada")
        with pytest.raises(PermissionDenied):
            room.read("auth/token/lookup-self", token=token)


def test_by_the_name_that_was_typed_alone_he_gets_round_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control."""
    monkeypatch.setattr(login, "_names", lambda typed, _person: (typed,))
    with scripted(one_person) as fake:
        room = Strongroom()
        token = logged_in(room, fake.url, "ada@example.com")
        room.read("secret/data/payroll", token=token)
