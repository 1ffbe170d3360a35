"""agent: enrol this machine's agent, and change its key. Logging in is `login -method=agent key_file=FILE`."""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.errors import LOCAL, CommandError, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session

KEY_TYPES = ("ed25519", "ml-dsa-65")


def enrol(session: Session) -> int:
    """Make a key pair, keep it in a file, and enrol it with an enrolment token."""
    from strongroom.client import agent_auth

    name, path = session.flags.text("name"), _key_file(session)
    if not name:
        raise UsageError("-name=NAME is needed: what this agent is called")
    mount = session.flags.text("path", "agent").strip("/")
    token = _token(session)
    if not token:
        raise CommandError("no enrolment token was given", LOCAL)
    answer = agent_auth.enrol(session.client, path, mount, name, token, session.flags.text("key-type", KEY_TYPES[0]))
    return session.show(answer)


def _token(session: Session) -> str:
    if not session.arguments:
        return session.ask_secret("Enrolment token")
    given = session.arguments[0]
    return session.sources.standard_input().strip() if given == "-" else given


def rotate(session: Session) -> int:
    """Change the key of an agent, by proof of the old one and of the new one."""
    from strongroom.client import agent_auth

    path = _key_file(session)
    return session.show(
        agent_auth.rotate(session.client, path, session.flags.text("key-type"), revoke_tokens=session.flags.switch("revoke-tokens"))
    )


def _key_file(session: Session) -> str:
    path = session.flags.text("key-file")
    if not path:
        raise UsageError("-key-file=FILE is needed: where the private key lies")
    return path


_FILE = Flag("key-file", "Where the private key lies; made with mode 0600.")

COMMANDS = (
    Command(
        "agent enrol",
        "[TOKEN|-]",
        enrol,
        (
            Flag("name", "What this agent is called."),
            _FILE,
            Flag("key-type", "Kind of the key pair; default: ed25519.", choices=KEY_TYPES),
            Flag("path", "Path of the auth method; default: agent."),
        ),
        0,
        1,
        "strongroom agent enrol -name=web-1 -key-file=web-1.key -     reads the enrolment token from standard input\n"
        "strongroom login -method=agent key_file=web-1.key            logs in from then on",
    ),
    Command(
        "agent rotate",
        "",
        rotate,
        (
            _FILE,
            Flag("key-type", "Kind of the new key pair; default: as before.", choices=KEY_TYPES),
            Flag("revoke-tokens", "End the tokens that the old key led to: it may be known to others.", "switch"),
        ),
    ),
)
