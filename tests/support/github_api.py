"""GitHub's REST API as far as logins ask it: people with tokens, their organizations and teams, in pages."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.elsewhere import Answered, Asked


@dataclass
class Person:
    """An account. `teams` are (organization, slug)."""

    login: str
    organizations: list[str] = field(default_factory=list)
    teams: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class GitHubApi:
    """Answers as api.github.com does, below `prefix`. Tests change it between two questions."""

    organizations: dict[str, int]
    tokens: dict[str, Person]
    prefix: str = "/api/v3"
    status: int = 0
    """Answer everything with this, if it is set."""

    def __call__(self, asked: Asked) -> Answered:
        if self.status:
            return Answered(self.status, {"message": "because"})
        path = asked.path.removeprefix(self.prefix)
        if path.startswith("/orgs/"):
            name = path.removeprefix("/orgs/")
            found = {known.lower(): known for known in self.organizations}.get(name.lower())
            return Answered(200, self._organization(found)) if found else Answered(404, {"message": "Not Found"})
        person = self.tokens.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        if person is None:
            return Answered(401, {"message": "Bad credentials"})
        match path:
            case "/user":
                return Answered(200, {"login": person.login, "id": 7, "email": None})
            case "/user/orgs":
                return self._page(asked, [self._organization(name) for name in person.organizations])
            case "/user/teams":
                teams = [self._team(organization, slug) for organization, slug in person.teams]
                return self._page(asked, teams)
        return Answered(404, {"message": "Not Found"})

    def _organization(self, name: str) -> dict[str, object]:
        return {"login": name, "id": self.organizations[name], "description": None}

    def _team(self, organization: str, slug: str) -> dict[str, object]:
        return {"slug": slug, "name": slug.title(), "organization": self._organization(organization)}

    @staticmethod
    def _page(asked: Asked, items: list[dict[str, object]]) -> Answered:
        size, number = int(asked.query["per_page"]), int(asked.query.get("page", "1"))
        return Answered(200, items[size * (number - 1) : size * number])
