"""Okta's authentication and user APIs as far as logins ask them: people with passwords, factors and groups."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.elsewhere import Answered, Asked

API_TOKEN = "00api-token"


@dataclass
class Person:
    """An account. `factors` are (type, provider); `pushes` is what the phone answers, one look after another."""

    id: str
    login: str
    password: str
    groups: list[str] = field(default_factory=list)
    status: str = "SUCCESS"
    active: str = "ACTIVE"
    factors: list[tuple[str, str]] = field(default_factory=list)
    code: str = "123456"
    pushes: list[str] = field(default_factory=list)
    number: int | None = None

    def goes_by(self, name: str) -> bool:
        """Okta takes the part before the @ too, and any case."""
        return name.lower() in (self.login.lower(), self.login.lower().partition("@")[0])


@dataclass
class OktaApi:
    """Answers as an organization's API does. Tests change it between two questions."""

    people: list[Person]
    status: int = 0
    """Answer everything with this, if it is set."""
    page: int = 200

    def __call__(self, asked: Asked) -> Answered:
        if self.status:
            return Answered(self.status, {"errorCode": "E0000001"})
        match asked.path.removeprefix("/api/v1/").split("/"):
            case ["authn"]:
                return self._authn(asked)
            case ["authn", "factors", number, "verify"]:
                return self._verify(asked, number)
            case ["users", user]:
                return self._as_administrator(asked, user)
            case ["users", user, "groups"]:
                return self._as_administrator(asked, user, groups=True)
        return Answered(404, {"errorCode": "E0000022"})

    def _authn(self, asked: Asked) -> Answered:
        person = next((person for person in self.people if person.goes_by(asked.json["username"])), None)
        if person is None or asked.json["password"] != person.password:
            return Answered(401, {"errorCode": "E0000004", "errorSummary": "Authentication failed"})
        answer = self._transaction(person, person.status)
        if person.status == "MFA_REQUIRED":
            factors = [{"id": f"f{number}", "factorType": kind, "provider": by} for number, (kind, by) in enumerate(person.factors)]
            answer["_embedded"]["factors"] = factors  # type: ignore[index]
        return Answered(200, answer)

    def _verify(self, asked: Asked, number: str) -> Answered:
        person = next(person for person in self.people if asked.json["stateToken"] == f"state-{person.id}")
        kind, _ = person.factors[int(number[1:])]
        if kind == "push":
            return self._pushed(person)
        if asked.json["passCode"] != person.code:
            return Answered(403, {"errorCode": "E0000068", "errorSummary": "Invalid Passcode/Answer"})
        return Answered(200, self._transaction(person, "SUCCESS"))

    def _pushed(self, person: Person) -> Answered:
        said = person.pushes.pop(0)
        if said == "SUCCESS":
            return Answered(200, self._transaction(person, "SUCCESS"))
        answer = self._transaction(person, "MFA_CHALLENGE") | {"factorResult": said}
        challenge = {} if person.number is None else {"challenge": {"correctAnswer": person.number}}
        answer["_embedded"]["factor"] = {"id": "f0", "factorType": "push", "provider": "OKTA", "_embedded": challenge}  # type: ignore[index]
        return Answered(200, answer)

    def _transaction(self, person: Person, status: str) -> dict[str, object]:
        user = {"id": person.id, "profile": {"login": person.login}}
        return {"status": status, "stateToken": f"state-{person.id}", "_embedded": {"user": user}}

    def _as_administrator(self, asked: Asked, user: str, *, groups: bool = False) -> Answered:
        if asked.headers.get("authorization") != f"SSWS {API_TOKEN}":
            return Answered(401, {"errorCode": "E0000011"})
        person = next((person for person in self.people if person.id == user), None)
        if person is None:
            return Answered(404, {"errorCode": "E0000007"})
        if not groups:
            return Answered(200, {"id": person.id, "status": person.active, "profile": {"login": person.login}})
        start = int(asked.query.get("after", "0"))
        page = [{"id": name, "profile": {"name": name}} for name in person.groups[start : start + self.page]]
        more = start + self.page < len(person.groups)
        link = f'<https://169.254.169.254/api/v1/users/{user}/groups?after={start + self.page}&limit={self.page}>; rel="next"'
        return Answered(200, page, {"link": link} if more else {})
