"""kv: get, put, patch, delete, undelete, destroy, list, rollback, enable-versioning, on versions 1 and 2 of the engine.

Rules of this file:
- The preflight says which version a mount has; one command works on both wherever both can do it.
- What is printed is what Vault's command prints: path, metadata and data under banners of the same width.
"""

from __future__ import annotations

from strongroom.cli import output
from strongroom.cli.command import MANY, Command
from strongroom.cli.data import HINT
from strongroom.cli.errors import LOCAL, SUCCESS, CommandError, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.kvpaths import MOUNT_FLAG, Location, locate, named
from strongroom.cli.session import Session, found
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.errors import Refused
from strongroom.client.values import Json, Object


def get(session: Session) -> int:
    """Read a secret, its newest version or the one named by -version."""
    location = named(session, session.arguments[0])
    wanted = session.flags.text("version")
    if wanted and location.version != 2:
        location.need_versions("-version")
    answer = _read(session, location, wanted)
    if session.flags.given("field") and location.version == 2 and not answer.wrap_info:
        if not isinstance(answer.data.get("data"), dict):
            raise CommandError(f"that version of {location.path()} is deleted or destroyed; 'kv metadata get' shows which are not")
        content = values.mapping(answer.data.get("data"))
        name = session.flags.text("field")
        return session.show_field(content if name == "data" and name not in content else output.pick(content, name))
    if answer.wrap_info or not session.is_table or session.flags.given("field"):
        return session.show(answer)
    session.warn(answer)
    return _show_secret(session, location, answer)


def put(session: Session) -> int:
    """Write a whole secret."""
    path, *words = session.arguments
    content = session.data(words)
    if not content and not words:
        raise UsageError("there is nothing to write: give key=value, key=@file, key=-, @file.json or -")
    location = named(session, path)
    body = content if location.version == 1 else {"data": content, **_cas(session)}
    return _written(session, location, session.client.write(location.path(), body))


def patch(session: Session) -> int:
    """Merge into a secret, with the server's PATCH or by reading and writing."""
    path, *words = session.arguments
    content = {**session.data(words), **removals(session, "remove-data")}
    if not content:
        raise UsageError("there is nothing to change: give key=value or -remove-data=key")
    location = named(session, path)
    location.need_versions("kv patch")
    method = session.flags.text("method")
    if method != "rw":
        try:
            answer = session.client.patch(location.path(), {"data": content, **_cas(session)})
            return _written(session, location, answer)
        except Refused as error:
            if error.status == 404 and not error.messages:
                raise CommandError(f"No value found at {location.path()}; 'kv put' writes a new one") from None
            if method == "patch" or error.status not in (403, 405):
                raise
    return _patch_by_writing(session, location, content)


def _patch_by_writing(session: Session, location: Location, content: Object) -> int:
    current = _read(session, location, "")
    held = current.data.get("data")
    if not isinstance(held, dict):
        raise CommandError(f"the newest version of {location.path()} is deleted or destroyed; write a whole one with 'kv put'")
    kept: Object = {key: value for key, value in {**held, **content}.items() if value is not None}
    expected = values.number(values.mapping(current.data.get("metadata")).get("version"))
    options = _cas(session) or {"options": {"cas": expected}}
    return _written(session, location, session.client.write(location.path(), {"data": kept, **options}))


def delete(session: Session) -> int:
    """Delete the newest version, or those named by -versions."""
    location = named(session, session.arguments[0])
    if session.flags.given("versions"):
        location.need_versions("-versions")
        answer = session.client.write(location.path("delete"), {"versions": _versions(session)})
    else:
        answer = session.client.delete(location.path())
    return session.show(answer, f"Success! Data deleted (if it existed) at: {location.path()}")


def undelete(session: Session) -> int:
    """Bring deleted versions back."""
    return _on_versions(session, "undelete")


def destroy(session: Session) -> int:
    """Destroy versions for good."""
    return _on_versions(session, "destroy")


def _on_versions(session: Session, part: str) -> int:
    versions = _versions(session)
    location = named(session, session.arguments[0])
    location.need_versions(f"kv {part}")
    answer = session.client.write(location.path(part), {"versions": versions})
    return session.show(answer, f"Success! Data written to: {location.path(part)}")


def list_names(session: Session) -> int:
    """List the secrets below a path."""
    given = session.arguments[0] if session.arguments else ""
    if not given and not session.flags.given("mount"):
        raise UsageError("not enough arguments: it takes PATH, or -mount alone")
    return session.show_list(locate(session, given).path("metadata"))


def rollback(session: Session) -> int:
    """Write an old version again as the newest."""
    wanted = session.flags.number("version")
    if wanted is None or wanted < 1:
        raise UsageError("-version must name the version to go back to")
    location = named(session, session.arguments[0])
    location.need_versions("kv rollback")
    current = values.number(values.mapping(_read(session, location, "").data.get("metadata")).get("version"))
    content = _read(session, location, str(wanted)).data.get("data")
    if not isinstance(content, dict):
        raise CommandError(f"version {wanted} of {location.path()} is deleted or destroyed and cannot be written again")
    answer = session.client.write(location.path(), {"data": content, "options": {"cas": current}})
    return session.show(answer)


def enable_versioning(session: Session) -> int:
    """Turn a version 1 mount into a version 2 one."""
    mount = session.arguments[0].strip("/")
    answer = session.client.write(f"sys/mounts/{mount}/tune", {"options": {"version": "2"}})
    return session.show(answer, f"Success! Tuned the secrets engine at: {mount}/")


def _read(session: Session, location: Location, version: str) -> Answer:
    query = {"version": version} if version else None
    path = location.path()
    hint = "\n\nkv adds data/ itself: leave it out of PATH" if location.version == 2 and location.name.startswith("data/") else ""
    return found(lambda: session.client.read(path, query), path, hint)


def _written(session: Session, location: Location, answer: Answer) -> int:
    if location.version == 1 or answer.wrap_info or not session.is_table or session.flags.given("field") or not answer.data:
        return session.show(answer, f"Success! Data written to: {location.path()}")
    session.warn(answer)
    show_path(session, "Secret Path", location.path())
    return show_section(session, "Metadata", answer.data)


def _show_secret(session: Session, location: Location, answer: Answer) -> int:
    content: Json = answer.data
    if location.version == 2:
        show_path(session, "Secret Path", location.path())
        metadata, content = answer.data.get("metadata"), answer.data.get("data")
        if isinstance(metadata, dict):
            show_section(session, "Metadata", metadata)
            if isinstance(content, dict):
                session.say("")
    return show_section(session, "Data", content) if isinstance(content, dict) else SUCCESS


def show_path(session: Session, title: str, path: str) -> None:
    """`== Title ==`, the path, and an empty line."""
    session.say(f"{output.padded(title, len(path))}\n{output.clean(path)}\n")


def show_section(session: Session, title: str, content: Object) -> int:
    """`=== Title ===` and a table of `content`, without turning anything into durations."""
    session.say(output.banner(title, content))
    session.say(output.table([(key, output.cell(value)) for key, value in sorted(content.items())]))
    return SUCCESS


def removals(session: Session, flag: str) -> Object:
    """The keys that a flag names, each as null, which a merge patch removes."""
    removed: Object = {}
    for key in session.flags.listed(flag):
        removed[key] = None
    return removed


def _versions(session: Session) -> list[Json]:
    listed = session.flags.listed("versions")
    if not listed or not all(text.isascii() and text.isdecimal() and len(text) < 19 for text in listed):
        raise UsageError("-versions takes version numbers, such as -versions=1,2")
    return [int(text) for text in listed]


def _cas(session: Session) -> Object:
    expected = session.flags.number("cas")
    if expected is not None and expected < -1:
        raise CommandError("-cas takes the current version, or 0 for a secret that must not exist yet", LOCAL)
    return {} if expected is None or expected == -1 else {"options": {"cas": expected}}


_CAS = Flag("cas", "Write only if this is the current version; 0: only if there is none.", "number")
_VERSIONS = Flag("versions", "Version numbers, separated by commas.", "many")
_VERSION = Flag("version", "The version's number.", "number")

COMMANDS = (
    Command("kv get", "PATH", get, (MOUNT_FLAG, _VERSION), 1, 1),
    Command("kv put", "PATH key=value …", put, (MOUNT_FLAG, _CAS), 1, MANY, HINT),
    Command(
        "kv patch",
        "PATH key=value …",
        patch,
        (
            MOUNT_FLAG,
            _CAS,
            Flag("method", "patch: only the server's PATCH; rw: read, then write. Default: PATCH, else rw.", choices=("patch", "rw")),
            Flag("remove-data", "Remove this key.", "many"),
        ),
        1,
        MANY,
        HINT,
    ),
    Command("kv delete", "PATH", delete, (MOUNT_FLAG, _VERSIONS), 1, 1),
    Command("kv undelete", "PATH", undelete, (MOUNT_FLAG, _VERSIONS), 1, 1),
    Command("kv destroy", "PATH", destroy, (MOUNT_FLAG, _VERSIONS), 1, 1),
    Command("kv list", "PATH", list_names, (MOUNT_FLAG,), 0, 1),
    Command("kv rollback", "PATH", rollback, (MOUNT_FLAG, _VERSION), 1, 1),
    Command("kv enable-versioning", "MOUNT", enable_versioning, (), 1, 1),
)
