"""How each auth method is logged in to: what it takes, what is asked for, and which have steps of their own.

Rules of this file:
- A method is one line of `METHODS`; one that is not there takes its `key=value` arguments at `login`.
- A secret that is not given is taken from the method's variable or file, else asked for; it need never stand on the command line.
- Methods with several steps have a module with `login(session, mount, fields)`, imported only for them.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from strongroom.cli.errors import CommandError, UsageError
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.errors import Refused
from strongroom.client.settings import variable
from strongroom.client.values import Object


class Wanted(NamedTuple):
    """A secret: its field, what to call it when asking, and where it may lie: a variable (VAULT_<name>) or a file."""

    field: str
    prompt: str
    variable: str = ""
    file: str = ""


class Method(NamedTuple):
    """`by_name`: the path ends in the user's name. `module`: it has steps of its own, in `strongroom.cli.<module>`."""

    by_name: bool = False
    secret: Wanted | None = None
    module: str = ""


METHODS = {
    "userpass": Method(by_name=True, secret=Wanted("password", "Password")),
    "ldap": Method(by_name=True, secret=Wanted("password", "Password", "LDAP_PASSWORD")),
    "okta": Method(by_name=True, secret=Wanted("password", "Password")),
    "radius": Method(by_name=True, secret=Wanted("password", "Password")),
    "approle": Method(),
    "cert": Method(),
    "github": Method(secret=Wanted("token", "GitHub personal access token", "AUTH_GITHUB_TOKEN")),
    "jwt": Method(secret=Wanted("jwt", "JWT")),
    "kubernetes": Method(secret=Wanted("jwt", "Service account token", file="/var/run/secrets/kubernetes.io/serviceaccount/token")),
    "azure": Method(secret=Wanted("jwt", "Access token of the managed identity")),
    "gcp": Method(secret=Wanted("jwt", "Signed JWT")),
    "oidc": Method(module="browser_login"),
    "aws": Method(module="aws_login"),
    "agent": Method(module="agent_login"),
}


def log_in(session: Session, name: str) -> Answer:
    """Log in by the method of this name with the fields on the command line. Raises CommandError, UsageError, ClientError."""
    method = METHODS.get(name, Method())
    mount = session.flags.text("path", name).strip("/")
    fields = session.data(session.arguments)
    if method.module:
        answer: Answer = import_module(f"strongroom.cli.{method.module}").login(session, mount, fields)
        return answer
    path = f"auth/{mount}/login"
    if method.by_name:
        path = f"{path}/{values.text(fields.pop('username', None)) or _own_name(session)}"
    if method.secret is not None:
        _complete(session, fields, method.secret)
    return _send(session, mount, path, fields)


def _send(session: Session, mount: str, path: str, fields: Object) -> Answer:
    try:
        return session.client.request("PUT", path, body=fields, token="")
    except Refused as error:
        if error.status != 403:
            raise
        where = f"there may be no auth method at auth/{mount}/: -path says where it is, 'strongroom auth list' shows them all"
        raise CommandError(f"Error making API request.\n\n{error}\n\nIf the credentials are right, {where}.") from None


def _complete(session: Session, fields: Object, wanted: Wanted) -> None:
    """Find the secret where it is not given. A token from a file or a pipe often has a line end behind it; a password is what it is."""
    given = fields.get(wanted.field)
    if given is None:
        fields[wanted.field] = _secret(session, wanted)
    elif isinstance(given, str) and wanted.field != "password":
        fields[wanted.field] = given.strip()


def _secret(session: Session, wanted: Wanted) -> str:
    found = variable(wanted.variable, session.environment) if wanted.variable else ""
    if not found and wanted.file:
        found = _file(session, wanted.file)
    return found or session.ask_secret(wanted.prompt)


def _file(session: Session, path: str) -> str:
    try:
        return session.sources.file(path).strip()
    except CommandError:
        return ""


def _own_name(session: Session) -> str:
    from getpass import getuser

    return session.environment.get("LOGNAME") or session.environment.get("USER") or getuser()


def taken(fields: Object, names: dict[str, str]) -> dict[str, str]:
    """The fields of a method with steps of its own, with their defaults. Raises UsageError for any other."""
    unknown = sorted(fields.keys() - names.keys())
    if unknown:
        raise UsageError(f"this method takes {', '.join(names)}; not {', '.join(unknown)}")
    return {name: values.text(fields.get(name)) or default for name, default in names.items()}
