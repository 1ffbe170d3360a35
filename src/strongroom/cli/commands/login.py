"""login: get a token by an auth method, or take one as it is, and keep it for the other commands.

Rules of this file:
- A password or token is asked for, or read from standard input; on the command line it would show up in process lists.
- A token given is looked up before it is stored: a wrong one is refused here and not by the next command.
"""

from __future__ import annotations

from strongroom.cli import output, tokenstore
from strongroom.cli.command import MANY, Command
from strongroom.cli.data import HINT
from strongroom.cli.errors import LOCAL, REMOTE, SUCCESS, CommandError, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.methods import METHODS, log_in
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.errors import Refused
from strongroom.client.settings import variable
from strongroom.client.values import Object


def login(session: Session) -> int:
    """Log in and keep the token."""
    method = session.flags.text("method", "token")
    answer = _with_token(session) if method == "token" else log_in(session, method)
    if values.mapping(answer.auth.get("mfa_requirement")) or answer.wrap_info:
        return session.show(answer)
    token = values.text(answer.auth.get("client_token"))
    if not token:
        raise CommandError("the server answered the login without a token; is that path an auth method's?")
    alone = session.flags.switch("token-only")
    if alone:
        return session.show_field(token)
    try:
        stored = "" if session.flags.switch("no-store") else tokenstore.write(session.environment, token)
    except CommandError as error:
        if session.flags.switch("no-print"):
            raise
        session.note(f"You are authenticated, but the token was not kept: {error}. It is shown here, this once.\n")
        session.show(answer)
        return REMOTE
    if session.flags.given("field"):
        return session.show_field(output.answer_field(answer, session.flags.text("field")))
    if session.flags.switch("no-print"):
        return SUCCESS
    if session.is_table:
        _announce(session, stored)
    return session.show(answer)


def _announce(session: Session, stored: str) -> None:
    if stored:
        session.say(f"Success! You are now authenticated. The token is stored in {stored}\nand used by the commands from now on.\n")
    else:
        session.say("Success! You are now authenticated. The token was not stored (-no-store);\nset VAULT_TOKEN to use it.\n")
    if stored and variable("TOKEN", session.environment):
        session.note("WARNING! VAULT_TOKEN is set and wins over the stored token: unset it to use the new one.\n")


def _with_token(session: Session) -> Answer:
    token = _given_token(session)
    if not token:
        raise CommandError("no token was given", LOCAL)
    try:
        answer = session.client.request("GET", "auth/token/lookup-self", token=token)
    except Refused as error:
        if error.status == 403:
            raise CommandError(f"the server does not accept this token; it may be mistyped, expired or revoked\n\n{error}") from None
        raise
    data = answer.data
    policies = values.texts(data.get("policies"))
    auth: Object = {
        "client_token": token,
        "accessor": data.get("accessor"),
        "policies": [*policies, *values.texts(data.get("identity_policies"))],
        "token_policies": [*policies],
        "identity_policies": data.get("identity_policies"),
        "metadata": data.get("meta"),
        "lease_duration": data.get("ttl"),
        "renewable": data.get("renewable", False),
        "entity_id": data.get("entity_id"),
        "token_type": data.get("type"),
        "orphan": data.get("orphan"),
    }
    return answer._replace(body={**answer.body, "data": None, "auth": auth})


def _given_token(session: Session) -> str:
    words = session.arguments
    if len(words) > 1:
        raise UsageError("the token method takes one token")
    if not words:
        return session.ask_secret("Token")
    if words[0] == "-":
        return session.sources.standard_input().strip()
    return words[0].removeprefix("token=")


COMMANDS = (
    Command(
        "login",
        "[TOKEN|-|key=value …]",
        login,
        (
            Flag("method", f"Kind of auth method: token (default), {', '.join(METHODS)}."),
            Flag("path", "Path of the auth method, if it is not that of its kind."),
            Flag("no-store", "Do not keep the token.", "switch"),
            Flag("no-print", "Do not print the token.", "switch"),
            Flag("token-only", "Print the token only, and do not keep it.", "switch"),
        ),
        0,
        MANY,
        "strongroom login                                       asks for a token\n"
        "strongroom login -method=userpass username=ada         asks for the password\n"
        "strongroom login -method=approle role_id=… secret_id=- reads it from standard input\n"
        "strongroom login -method=oidc role=… skip_browser=true  prints the address to log in at\n"
        f"strongroom login -method=agent key_file=FILE           answers a challenge with that key\n\n{HINT}",
    ),
)
