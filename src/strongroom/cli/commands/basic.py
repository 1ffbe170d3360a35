"""read, write, delete, list, patch on any path, path-help, unwrap: the commands that know no engine.

Rules of this file:
- The path goes to the server as given; the answer comes out whole.
"""

from __future__ import annotations

from strongroom.cli.command import MANY, Command
from strongroom.cli.data import HINT, texts
from strongroom.cli.errors import SUCCESS, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session, found
from strongroom.client import values
from strongroom.client.values import Object


def read(session: Session) -> int:
    """Read a path; key=value arguments go into the query."""
    path, *words = session.arguments
    query = texts(words, session.sources)
    return session.show(found(lambda: session.client.read(path, query), path))


def write(session: Session) -> int:
    """Write data to a path, or call an endpoint."""
    path, body = _target(session)
    return session.show(session.client.write(path, body), f"Success! Data written to: {path}")


def patch(session: Session) -> int:
    """Merge data into what is at a path (JSON merge patch)."""
    path, body = _target(session)
    return session.show(session.client.patch(path, body), f"Success! Data written to: {path}")


def _target(session: Session) -> tuple[str, Object]:
    path, *words = session.arguments
    body = session.data(words)
    if not words and not session.flags.switch("force"):
        raise UsageError("there is no data: give key=value, @file.json or -, or -force to send none")
    return path, body


def delete(session: Session) -> int:
    """Delete what is at a path."""
    path, *words = session.arguments
    query = texts(words, session.sources)
    return session.show(session.client.delete(path, query), f"Success! Data deleted (if it existed) at: {path}")


def list_names(session: Session) -> int:
    """List the names below a path."""
    return session.show_list(session.arguments[0])


def path_help(session: Session) -> int:
    """Show the server's help for a path."""
    answer = session.client.read(session.arguments[0], {"help": "1"})
    if not session.is_table:
        return session.show_value(answer.body)
    session.say(values.text(answer.body.get("help") or answer.data.get("help")).rstrip())
    return SUCCESS


def unwrap(session: Session) -> int:
    """Take the answer out of a wrapping token; without an argument the client's own token is it."""
    given = session.arguments[0] if session.arguments else ""
    if given == "-":
        given = session.sources.standard_input().strip()
    own = session.client.settings.token
    if given and own:
        answer = session.client.request("PUT", "sys/wrapping/unwrap", body={"token": given})
    else:
        answer = session.client.request("PUT", "sys/wrapping/unwrap", body={}, token=given or own)
    return session.show(answer, "Success! There was nothing in it.")


_FORCE = Flag("force", "Send the request without data.", "switch", aliases=("f",))

COMMANDS = (
    Command("read", "PATH [key=value …]", read, (), 1, MANY),
    Command("write", "PATH [key=value …]", write, (_FORCE,), 1, MANY, HINT),
    Command("patch", "PATH [key=value …]", patch, (_FORCE,), 1, MANY, HINT),
    Command("delete", "PATH [key=value …]", delete, (), 1, MANY),
    Command("list", "PATH", list_names, (), 1, 1),
    Command("path-help", "PATH", path_help, (), 1, 1),
    Command("unwrap", "[TOKEN|-]", unwrap, (), 0, 1, "The token can come from standard input (-)."),
)
