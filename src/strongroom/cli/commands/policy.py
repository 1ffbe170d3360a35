"""policy: list, read, write, delete, fmt.

Rules of this file:
- A policy's name is in lower case, here as on the server: what is said was done names the policy that is there.
"""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, SUCCESS, CommandError, UsageError
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.errors import Refused


def list_names(session: Session) -> int:
    """List the policies."""
    names = values.texts(session.client.list("sys/policies/acl").data.get("keys"))
    if not session.is_table:
        return session.show_value([*names])
    session.say("\n".join(names))
    return SUCCESS


def read(session: Session) -> int:
    """Print a policy."""
    name = session.arguments[0].lower()
    try:
        answer = session.client.read(f"sys/policies/acl/{name}")
    except Refused as error:
        if error.status == 404 and not error.messages:
            raise CommandError(f"No policy named: {name}") from None
        raise
    if session.flags.given("field"):
        return session.show(answer)
    if not session.is_table:
        return session.show_value({"policy": answer.data.get("policy")})
    session.say(values.text(answer.data.get("policy")).strip())
    return SUCCESS


def write(session: Session) -> int:
    """Write a policy from a file, or from standard input (-)."""
    name, source = session.arguments[0].lower(), session.arguments[1]
    text = session.sources.standard_input() if source == "-" else session.sources.file(source)
    if not text.strip():
        raise UsageError("the policy is empty; a policy without rules is written as a comment")
    answer = session.client.write(f"sys/policies/acl/{name}", {"policy": text})
    session.warn(answer)
    return session.done(f"Success! Uploaded policy: {name}")


def delete(session: Session) -> int:
    """Delete a policy; tokens that name it lose its rights at once."""
    name = session.arguments[0].lower()
    return session.show(session.client.delete(f"sys/policies/acl/{name}"), f"Success! Deleted policy: {name}")


def fmt(session: Session) -> int:
    """Format a policy file in place; - formats standard input to standard output."""
    source = session.arguments[0]
    if source == "-":
        session.say(_checked(session.sources.standard_input()).rstrip("\n"))
        return SUCCESS
    before = session.sources.file(source)
    after = _checked(before)
    if after != before:
        session.write_file(source, after)
    return session.done(f"Success! Formatted policy: {source}")


def _checked(text: str) -> str:
    from strongroom.cli.hclformat import formatted, unclosed

    if wrong := unclosed(text):
        raise CommandError(f"failed to parse policy: {wrong}; the file stays as it is", LOCAL)
    return formatted(text)


COMMANDS = (
    Command("policy list", "", list_names),
    Command("policy read", "NAME", read, (), 1, 1),
    Command("policy write", "NAME FILE|-", write, (), 2, 2),
    Command("policy delete", "NAME", delete, (), 1, 1),
    Command("policy fmt", "FILE|-", fmt, (), 1, 1),
)
