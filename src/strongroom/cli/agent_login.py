"""login -method=agent: with the key of a key file, which names agent and mount."""

from __future__ import annotations

from strongroom.cli.errors import UsageError
from strongroom.cli.methods import taken
from strongroom.cli.session import Session
from strongroom.client.client import Answer
from strongroom.client.values import Object


def login(session: Session, mount: str, fields: Object) -> Answer:
    """Answer a challenge. The mount is that of the key file, unless -path says where it is now."""
    from strongroom.client import agent_auth

    path = taken(fields, {"key_file": ""})["key_file"]
    if not path:
        raise UsageError("the agent method takes key_file=FILE, made by 'strongroom agent enrol'")
    return agent_auth.login(session.client, path, mount if session.flags.given("path") else "")
