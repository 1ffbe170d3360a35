"""kv metadata: get, put, patch, delete. Versioned mounts only.

Rules of this file:
- Only what was given is sent: put replaces those settings, patch also merges custom_metadata and can remove keys from it.
"""

from __future__ import annotations

from strongroom.cli.command import Command
from strongroom.cli.commands.kv import removals, show_path, show_section
from strongroom.cli.errors import SUCCESS, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.kvpaths import MOUNT_FLAG, Location, named
from strongroom.cli.session import Session, found
from strongroom.client import values
from strongroom.client.values import Object


def get(session: Session) -> int:
    """Show a secret's settings and versions."""
    location = _located(session)
    path = location.path("metadata")
    answer = found(lambda: session.client.read(path), path)
    if answer.wrap_info or not session.is_table or session.flags.given("field"):
        return session.show(answer)
    session.warn(answer)
    show_path(session, "Metadata Path", path)
    show_section(session, "Metadata", {key: value for key, value in answer.data.items() if key != "versions"})
    versions = values.mapping(answer.data.get("versions"))
    for number in sorted(versions, key=values.number):
        session.say("")
        show_section(session, f"Version {number}", values.mapping(versions[number]))
    return SUCCESS


def put(session: Session) -> int:
    """Set a secret's settings; an empty secret is made if there is none."""
    location = _located(session)
    body = _settings(session)
    if custom := session.flags.pairs("custom-metadata"):
        body["custom_metadata"] = {**custom}
    path = location.path("metadata")
    return session.show(session.client.write(path, body), f"Success! Data written to: {path}")


def patch(session: Session) -> int:
    """Change some of a secret's settings."""
    location = _located(session)
    body = _settings(session)
    custom: Object = {**session.flags.pairs("custom-metadata"), **removals(session, "remove-custom-metadata")}
    if custom:
        body["custom_metadata"] = custom
    if not body:
        raise UsageError("there is nothing to change: give a setting's flag")
    path = location.path("metadata")
    return session.show(session.client.patch(path, body), f"Success! Data written to: {path}")


def delete(session: Session) -> int:
    """Delete a secret with all its versions and settings, for good."""
    path = _located(session).path("metadata")
    return session.show(session.client.delete(path), f"Success! Data deleted (if it existed) at: {path}")


def _located(session: Session) -> Location:
    location = named(session, session.arguments[0])
    location.need_versions("kv metadata")
    return location


def _settings(session: Session) -> Object:
    flags = session.flags
    body: Object = {"max_versions": flags.number("max-versions"), "delete_version_after": flags.text("delete-version-after")}
    body = values.without_empty(body)
    if flags.given("cas-required"):
        body["cas_required"] = flags.switch("cas-required")
    return body


_SETTINGS = (
    MOUNT_FLAG,
    Flag("max-versions", "How many versions to keep; 0: the mount's setting.", "number"),
    Flag("cas-required", "Whether every write must name the current version.", "switch"),
    Flag("delete-version-after", "Delete each version after this time, such as 3h."),
    Flag("custom-metadata", "key=value to store beside the secret; not secret.", "many"),
)

COMMANDS = (
    Command("kv metadata get", "PATH", get, (MOUNT_FLAG,), 1, 1),
    Command("kv metadata put", "PATH", put, _SETTINGS, 1, 1),
    Command(
        "kv metadata patch",
        "PATH",
        patch,
        (*_SETTINGS, Flag("remove-custom-metadata", "Remove this key.", "many")),
        1,
        1,
    ),
    Command("kv metadata delete", "PATH", delete, (MOUNT_FLAG,), 1, 1),
)
