"""token: create, lookup, renew, revoke, capabilities.

Rules of this file:
- Without a token argument a command is about the caller's own token; `-` reads the token from standard input.
- -accessor takes an accessor in the token's place, so that nobody needs to know the token.
"""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.errors import SUCCESS, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.values import Json, Object

_TEXTS = ("id", "display-name", "ttl", "explicit-max-ttl", "period", "type", "entity-alias")


def create(session: Session) -> int:
    """Create a token below the caller's."""
    flags = session.flags
    body: Object = {name.replace("-", "_"): flags.text(name) for name in _TEXTS if flags.given(name)}
    policies: list[Json] = [*flags.listed("policy")]
    if policies:
        body["policies"] = policies
    if metadata := flags.pairs("metadata"):
        body["meta"] = {**metadata}
    if flags.given("use-limit"):
        body["num_uses"] = flags.number("use-limit")
    if flags.given("renewable"):
        body["renewable"] = flags.switch("renewable")
    for flag, field in (("orphan", "no_parent"), ("no-default-policy", "no_default_policy")):
        if flags.switch(flag):
            body[field] = True
    role = flags.text("role")
    return session.show(session.client.write(f"auth/token/create/{role}" if role else "auth/token/create", body))


def lookup(session: Session) -> int:
    """Show a token's policies, lifetime and origin."""
    if session.flags.switch("accessor"):
        return session.show(session.client.write("auth/token/lookup-accessor", {"accessor": _needed(session, "an accessor")}))
    token = _argument(session)
    if not token:
        return session.show(session.client.read("auth/token/lookup-self"))
    return session.show(session.client.write("auth/token/lookup", {"token": token}))


def renew(session: Session) -> int:
    """Renew a token's lease."""
    increment: Object = {"increment": session.flags.text("increment")} if session.flags.given("increment") else {}
    if session.flags.switch("accessor"):
        return session.show(session.client.write("auth/token/renew-accessor", {"accessor": _needed(session, "an accessor"), **increment}))
    token = _argument(session)
    if not token:
        return session.show(session.client.write("auth/token/renew-self", increment))
    return session.show(session.client.write("auth/token/renew", {"token": token, **increment}))


def revoke(session: Session) -> int:
    """Revoke a token, and with it the tokens below it."""
    flags = session.flags
    mode = flags.text("mode")
    _check_one_target(session)
    if flags.switch("self"):
        answer = session.client.write("auth/token/revoke-self")
    elif flags.switch("accessor"):
        answer = session.client.write("auth/token/revoke-accessor", {"accessor": _needed(session, "an accessor")})
    elif mode == "path":
        answer = session.client.write(f"sys/leases/revoke-prefix/{_needed(session, 'a path')}")
    else:
        path = "auth/token/revoke-orphan" if mode == "orphan" else "auth/token/revoke"
        answer = session.client.write(path, {"token": _needed(session, "a token, or -self for your own,")})
    return session.show(answer, "Success! Revoked token (if it existed)")


def _check_one_target(session: Session) -> None:
    """What is revoked must be beyond doubt: a word too many may not end the caller's own token. Raises UsageError."""
    flags = session.flags
    named = [f"-{name}" for name in ("self", "accessor", "mode") if (flags.given(name) if name == "mode" else flags.switch(name))]
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other")
    if flags.switch("self") and session.arguments:
        raise UsageError("too many arguments with -self (expected 0, got 1): -self revokes your own token, an argument names another")


def capabilities(session: Session) -> int:
    """Show what a token may do with a path: the caller's own, or the one given first."""
    *token, path = session.arguments
    body: Object = {"paths": [path]}
    if not token:
        answer = session.client.write("sys/capabilities-self", body)
    elif session.flags.switch("accessor"):
        answer = session.client.write("sys/capabilities-accessor", {"accessor": token[0], **body})
    else:
        answer = session.client.write("sys/capabilities", {"token": _from_input(session, token[0]), **body})
    listed = values.texts(answer.data.get("capabilities") or answer.data.get(path))
    if not session.is_table:
        return session.show_value([*listed])
    session.say(", ".join(sorted(listed)))
    return SUCCESS


def _argument(session: Session) -> str:
    return _from_input(session, session.arguments[0]) if session.arguments else ""


def _from_input(session: Session, word: str) -> str:
    return session.sources.standard_input().strip() if word == "-" else word


def _needed(session: Session, what: str) -> str:
    given = _argument(session)
    if not given:
        raise UsageError(f"{what} is needed as argument")
    return given


_ACCESSOR = Flag("accessor", "The argument is an accessor.", "switch")

COMMANDS = (
    Command(
        "token create",
        "",
        create,
        (
            Flag("policy", "A policy of the new token; may be given several times.", "many", aliases=("policies",)),
            Flag("ttl", "Lifetime, such as 1h; it can be renewed."),
            Flag("explicit-max-ttl", "Lifetime that no renewal exceeds."),
            Flag("period", "Make a periodic token, renewable for ever in steps of this."),
            Flag("orphan", "Without a parent: it survives the caller's token.", "switch"),
            Flag("no-default-policy", "Leave the policy 'default' out.", "switch"),
            Flag("use-limit", "How many requests it may make.", "number"),
            Flag("renewable", "Whether it can be renewed (default true).", "switch"),
            Flag("type", "service (default) or batch.", choices=("service", "batch")),
            Flag("display-name", "Name in audit logs."),
            Flag("metadata", "key=value to keep with it.", "many"),
            Flag("role", "Make it by this token role."),
            Flag("entity-alias", "Alias of the entity it acts for; needs a role."),
            Flag("id", "Choose the token itself; needs sudo."),
        ),
    ),
    Command("token lookup", "[TOKEN|-]", lookup, (_ACCESSOR,), 0, 1),
    Command("token renew", "[TOKEN|-]", renew, (_ACCESSOR, Flag("increment", "Lifetime to ask for.", aliases=("i",))), 0, 1),
    Command(
        "token revoke",
        "[TOKEN|-]",
        revoke,
        (
            _ACCESSOR,
            Flag("self", "Revoke the caller's own token.", "switch"),
            Flag("mode", "orphan: leave the tokens below it alive; path: all made at this path.", choices=("orphan", "path")),
        ),
        0,
        1,
    ),
    Command("token capabilities", "[TOKEN|-] PATH", capabilities, (_ACCESSOR,), 1, 2),
)
