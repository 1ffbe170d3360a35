"""What GitHub's REST API says about the holder of a token, and about an organization.

Rules of this file:
- Blocking code, run through `call.outside`; all of one login's questions share one deadline.
- Lists are read to their end or refused: a team that was left out is a policy that was left out.
- A team counts by its slug, which is unique in its organization; names are not what they seem once letters look alike.
- Errors say what to do about it and never quote the token.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from strongroom.clock import Clock
from strongroom.errors import InvalidRequest
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import TIMEOUT, Outbound
from strongroom.outbound.errors import BadAnswer, Unreachable
from strongroom.outbound.url import base_url, parse_url
from strongroom.outbound.wire import Answer

BASE_URL: Final = "https://api.github.com/"
DEADLINE: Final = 20.0
"""Seconds for all of one login's questions, three at least."""
PER_PAGE: Final = 100
MAX_PAGES: Final = 10
"""A thousand organizations, or teams over all organizations of a person."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_.=+/~-]{1,512}", re.ASCII)
_ORGANIZATION: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]{0,98}[A-Za-z0-9_])?", re.ASCII)

T = TypeVar("T")


class _User(msgspec.Struct, frozen=True):
    login: str


class Organization(msgspec.Struct, frozen=True):
    """An organization: its name now, and its number."""

    id: int
    login: str = ""


class _Team(msgspec.Struct, frozen=True):
    slug: str
    organization: Organization


class Member(msgspec.Struct, frozen=True):
    """Somebody of the organization, with the slugs of his teams there."""

    login: str
    organization: str
    teams: tuple[str, ...]


def checked_base_url(text: str) -> str:
    """An API's address with its closing slash. Raises InvalidRequest."""
    return base_url(text, "base_url") + "/"


def checked_organization(text: str) -> str:
    """An organization's name. Raises InvalidRequest."""
    if not text:
        raise InvalidRequest("organization is a required parameter")
    if not _ORGANIZATION.fullmatch(text):
        raise InvalidRequest("organization is the name of a GitHub organization as it stands in its address")
    return text


class Questions:
    """What is asked in one login or configuration. `token` is whose, "" for nobody's."""

    def __init__(self, outbound: Outbound, clock: Clock, base_url: str, token: str = "") -> None:
        if token and not _TOKEN.fullmatch(token):
            raise InvalidRequest("the token is not a GitHub access token")
        self._outbound = outbound
        self._clock = clock
        self._base = base_url
        self._headers = {"accept": "application/vnd.github+json", **({"authorization": f"Bearer {token}"} if token else {})}
        self._until = clock.monotonic() + DEADLINE

    def organization_id(self, name: str) -> int:
        """The number of an organization. Raises InvalidRequest where there is none of that name."""
        answer = self._get(f"orgs/{name}")
        if answer.status == 404:
            raise InvalidRequest(f"organization_id not found for {name}")
        return _right(answer, Organization).id

    def member(self, organization_id: int) -> Member:
        """Who the token's holder is in an organization. Raises InvalidRequest where he is not in it."""
        user = _right(self._get("user"), _User)
        organization = next((found for found in self._pages("user/orgs", Organization) if found.id == organization_id), None)
        if organization is None:
            raise InvalidRequest("user is not part of required org")
        teams = {team.slug.lower() for team in self._pages("user/teams", _Team) if team.organization.id == organization_id}
        return Member(user.login, organization.login, tuple(sorted(teams)))

    def _pages(self, path: str, kind: type[T]) -> Iterator[T]:
        for page in range(1, MAX_PAGES + 1):
            further = f"&page={page}" if page > 1 else ""  # stand-ins for GitHub often know the first page by this query alone
            found = _right(self._get(f"{path}?per_page={PER_PAGE}{further}"), list[kind])  # type: ignore[valid-type]
            yield from found
            if len(found) < PER_PAGE:
                return
        raise InvalidRequest(f"GitHub lists more than {MAX_PAGES * PER_PAGE} organizations or teams for this user")

    def _get(self, path: str) -> Answer:
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise Unreachable(parse_url(self._base).host, "no answer in time")
        return self._outbound.request("GET", self._base + path, headers=self._headers, reach=Reach.CONFIGURED, timeout=min(left, TIMEOUT))


def _right(answer: Answer, kind: type[T]) -> T:
    """What was asked for. Raises InvalidRequest and BadAnswer."""
    if answer.status == 401:
        raise InvalidRequest("GitHub does not accept the token; it is wrong, revoked or expired")
    if answer.status in (403, 429):
        raise InvalidRequest("GitHub refuses to answer: the token needs the scope read:org, or too many questions were asked this hour")
    if answer.status != 200:
        raise BadAnswer(answer.host, f"it answered {answer.status}")
    return answer.json(kind)
