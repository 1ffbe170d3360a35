"""What Okta's authentication and user APIs say, as values.

Rules of this file:
- Blocking code, run through `call.outside`; one login has one deadline, a pushed question included.
- A refusal says whether it counts as a guess: a wrong password or code does, a busy or broken Okta does not.
- What comes back goes into a URL only if it is made of letters and digits: neither Okta nor who answers in its place chooses a path.
- Number challenges are not supported: the number would have to reach the person while his login waits. A passcode does.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeVar

import msgspec

from strongroom.clock import Clock
from strongroom.outbound.addresses import Reach
from strongroom.outbound.client import Outbound
from strongroom.outbound.errors import BadAnswer, Unreachable
from strongroom.outbound.url import parse_url
from strongroom.outbound.wire import Answer

LOGIN_SECONDS: Final = 60.0
"""For all of a login: a person has to find the phone."""
CALL_SECONDS: Final = 10.0
POLL_SECONDS = 1.0
"""Between two looks whether a pushed question was answered."""
MAX_PAGES: Final = 20
"""Of a person's groups, 200 each."""

FAILED: Final = "okta authentication failed"
ENROLL: Final = "okta authentication failed: you must complete MFA enrollment to continue"
NO_FACTOR: Final = "Okta Verify Push or TOTP or Google TOTP factor is required in order to perform MFA"
NO_CODE: Final = "'totp' passcode parameter is required to perform MFA"
DENIED: Final = "multi-factor authentication denied"
LATE: Final = "failed to complete multi-factor authentication"
NUMBER: Final = "Okta asks for a number to be chosen on the phone, which a login here cannot show; give a passcode of the app as 'totp'"
EXPIRING: Final = "Your Okta password is in warning state and needs to be changed soon."

PROVIDERS: Final = ("GOOGLE", "OKTA")
_CODE: Final = "token:software:totp"
_PUSH: Final = "push"
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_NEXT: Final = re.compile(r'[?&]after=([A-Za-z0-9_-]{1,256})[^>]*>; *rel="next"', re.ASCII)

T = TypeVar("T")


class Refused(Exception):
    """Okta does not let somebody in. `counts`: it was a guess."""

    def __init__(self, message: str, *, counts: bool) -> None:
        super().__init__(message)
        self.counts = counts


class Person(msgspec.Struct, frozen=True):
    """Somebody whom Okta knows: the number, the login name, the groups (none where nobody could ask), and what to tell him."""

    id: str
    login: str
    groups: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


class _Profile(msgspec.Struct, frozen=True):
    login: str = ""
    name: str = ""


class _User(msgspec.Struct, frozen=True):
    id: str = ""
    status: str = ""
    profile: _Profile = _Profile()


class _Group(msgspec.Struct, frozen=True):
    profile: _Profile = _Profile()


class _Challenge(msgspec.Struct, frozen=True, rename="camel"):
    correct_answer: int | None = None


class _FactorDetails(msgspec.Struct, frozen=True):
    challenge: _Challenge = _Challenge()


class _Factor(msgspec.Struct, frozen=True, rename={"kind": "factorType", "details": "_embedded"}):
    id: str = ""
    kind: str = ""
    provider: str = ""
    details: _FactorDetails = _FactorDetails()


class _Embedded(msgspec.Struct, frozen=True):
    user: _User = _User()
    factors: tuple[_Factor, ...] = ()
    factor: _Factor = _Factor()


class _Transaction(msgspec.Struct, frozen=True, rename={"embedded": "_embedded", "token": "stateToken", "result": "factorResult"}):
    """Where an authentication stands."""

    status: str = ""
    token: str = ""
    result: str = ""
    embedded: _Embedded = _Embedded()

    def __repr__(self) -> str:
        return f"_Transaction({self.status})"


class Credentials(NamedTuple):
    """What somebody proves himself with. `provider`: whose passcode `totp` is, if it matters."""

    name: str
    password: str
    totp: str = ""
    provider: str = ""

    def __repr__(self) -> str:
        return f"Credentials({self.name})"


class Questions:
    """What is asked in one login or renewal."""

    def __init__(self, outbound: Outbound, clock: Clock, base_url: str, api_token: str) -> None:
        self._outbound = outbound
        self._clock = clock
        self._base = base_url
        self._api_token = api_token
        self._until = clock.monotonic() + LOGIN_SECONDS

    # -- who is it ----------------------------------------------------------------------------------------------

    def log_in(self, credentials: Credentials, *, bypass: bool) -> Person:
        """Whom a password, and a second factor unless it is bypassed, prove. Raises Refused."""
        transaction = self._authenticate("authn", {"username": credentials.name, "password": credentials.password})
        user = transaction.embedded.user
        match transaction.status:
            case "MFA_REQUIRED" if not bypass:
                transaction = self._second_factor(transaction, credentials)
            case "MFA_ENROLL" | "MFA_ENROLL_ACTIVATE" if not bypass:
                raise Refused(ENROLL, counts=False)
            case "MFA_REQUIRED" | "MFA_ENROLL" | "MFA_ENROLL_ACTIVATE":
                transaction = msgspec.structs.replace(transaction, status="SUCCESS")
        if transaction.status not in ("SUCCESS", "PASSWORD_WARN"):
            raise Refused(FAILED, counts=True)
        warnings = (EXPIRING,) if transaction.status == "PASSWORD_WARN" else ()
        return Person(user.id, user.profile.login, self._groups(user.id), warnings)

    def look_up(self, user_id: str) -> Person:
        """Somebody who logged in before, if he still may; by the API token. Raises Refused."""
        answer = self._get(f"users/{self._checked(user_id)}")
        if answer.status == 404:
            raise Refused(FAILED, counts=False)
        user = self._right(answer, _User)
        if user.status != "ACTIVE":
            raise Refused(FAILED, counts=False)
        return Person(user.id, user.profile.login, self._groups(user.id))

    def _authenticate(self, path: str, body: dict[str, str]) -> _Transaction:
        answer = self._ask("POST", path, msgspec.json.encode(body), {})
        if answer.status in (401, 403):  # 403: a passcode that is wrong
            raise Refused(FAILED, counts=True)
        return self._right(answer, _Transaction)

    # -- the second factor --------------------------------------------------------------------------------------

    def _second_factor(self, transaction: _Transaction, credentials: Credentials) -> _Transaction:
        factor = _chosen(transaction.embedded.factors, credentials)
        path = f"authn/factors/{self._checked(factor.id)}/verify"
        body = {"stateToken": transaction.token}
        if factor.kind == _CODE:
            body["passCode"] = credentials.totp
        transaction = self._authenticate(path, body)
        while transaction.status == "MFA_CHALLENGE":
            if transaction.embedded.factor.details.challenge.correct_answer is not None:
                raise Refused(NUMBER, counts=False)
            if transaction.result != "WAITING":
                raise Refused({"REJECTED": DENIED, "TIMEOUT": LATE}.get(transaction.result, FAILED), counts=True)
            if self._clock.monotonic() + POLL_SECONDS > self._until:
                raise Refused(LATE, counts=True)
            time.sleep(POLL_SECONDS)
            transaction = self._authenticate(path, body)
        return transaction

    # -- groups -------------------------------------------------------------------------------------------------

    def _groups(self, user_id: str) -> tuple[str, ...]:
        return tuple(sorted(set(self._group_names(user_id)))) if self._api_token else ()

    def _group_names(self, user_id: str) -> Iterator[str]:
        path = f"users/{self._checked(user_id)}/groups?limit=200"
        after = ""
        for _ in range(MAX_PAGES):
            answer = self._get(path + after)
            yield from (group.profile.name for group in self._right(answer, list[_Group]))
            following = _NEXT.search(answer.headers.get("link", ""))
            if following is None:
                return
            after = f"&after={following[1]}"
        raise BadAnswer(self._host, "it lists too many groups for one person")

    # -- asking -------------------------------------------------------------------------------------------------

    @property
    def _host(self) -> str:
        return parse_url(self._base).host

    def _get(self, path: str) -> Answer:
        return self._ask("GET", path, b"", {"authorization": f"SSWS {self._api_token}"})

    def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        left = self._until - self._clock.monotonic()
        if left <= 0:
            raise Unreachable(self._host, "no answer in time")
        said = {"accept": "application/json", **({"content-type": "application/json"} if body else {}), **headers}
        url = f"{self._base}/api/v1/{path}"
        return self._outbound.request(method, url, headers=said, body=body, reach=Reach.CONFIGURED, timeout=min(left, CALL_SECONDS))

    def _right(self, answer: Answer, kind: type[T]) -> T:
        if answer.status != 200:
            why = {401: "the API token is not accepted", 403: "the API token may not", 429: "too many questions were asked"}
            raise BadAnswer(answer.host, f"it answered {answer.status}: {why.get(answer.status, 'this is no login')}")
        return answer.json(kind)

    def _checked(self, identifier: str) -> str:
        if not _ID.fullmatch(identifier):
            raise BadAnswer(self._host, "it answered without an identifier that could be one")
        return identifier


def _chosen(factors: tuple[_Factor, ...], credentials: Credentials) -> _Factor:
    """A passcode's factor where one was given, else a push. Raises Refused."""
    usable = [factor for factor in factors if factor.provider in ((credentials.provider,) if credentials.provider else PROVIDERS)]
    code = next((factor for factor in usable if factor.kind == _CODE), None)
    push = next((factor for factor in usable if factor.kind == _PUSH and factor.provider == "OKTA"), None)
    if code is not None and credentials.totp:
        return code
    if push is not None:
        return push
    raise Refused(NO_FACTOR if code is None else NO_CODE, counts=False)
