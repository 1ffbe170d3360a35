"""Where a key/value secret really is: which mount, which version of the engine, which API path.

Rules of this file:
- The server is asked (`sys/internal/ui/mounts/…`) before each kv command, as Vault's own command line does: the preflight.
- With -mount the mount is taken as given and only its version is asked for; without, the longest mount that the path lies in counts.
"""

from __future__ import annotations

from typing import NamedTuple

from strongroom.cli.errors import LOCAL, CommandError, UsageError
from strongroom.cli.flags import Flag
from strongroom.cli.session import Session
from strongroom.client import values
from strongroom.client.client import Answer

MOUNT_FLAG = Flag("mount", "Mount of the engine; then PATH is the secret's name alone.")


class Location(NamedTuple):
    """A secret: `mount` without slashes around it, the engine's version, the name below the mount."""

    mount: str
    version: int
    name: str

    def path(self, part: str = "data") -> str:
        """The API path; `part` (data, metadata, delete …) exists in version 2 only."""
        pieces = (self.mount, part if self.version == 2 else "", self.name)
        return "/".join(piece for piece in pieces if piece)

    def need_versions(self, what: str) -> None:
        """Raises CommandError on a mount without versions."""
        if self.version != 2:
            advice = f"'strongroom kv enable-versioning {self.mount}' turns versions on"
            raise CommandError(f"{what} needs versioned secrets, and {self.mount}/ is kv version 1; {advice}", LOCAL)


def locate(session: Session, given: str) -> Location:
    """Ask the server where `given` is. Raises Refused when this token may not know."""
    path = given.strip("/")
    if session.flags.given("mount"):
        mount = session.flags.text("mount").strip("/")
        return Location(mount, _version(_preflight(session, mount)), path)
    answer = _preflight(session, path)
    mount = values.text(answer.data.get("path")).strip("/")
    mount, version = _at(mount, path, _version(answer))
    return Location(mount, version, path[len(mount) :].strip("/"))


def named(session: Session, given: str) -> Location:
    """The same for one secret, which has a name. Raises UsageError too."""
    location = locate(session, given)
    if not location.name:
        raise UsageError(f"{location.mount}/ is a mount: PATH must go on with the name of a secret")
    return location


def _at(mount: str, path: str, version: int) -> tuple[str, int]:
    """The mount as the caller wrote it: a namespace may come before it in either of the two."""
    if f"{path}/".startswith(f"{mount}/"):
        return mount, version
    within = f"/{path}/".find(f"/{mount}/")
    if within >= 0:
        return path[: within + len(mount)], version
    shorter = mount.partition("/")[2]
    while shorter and not f"{path}/".startswith(f"{shorter}/"):
        shorter = shorter.partition("/")[2]
    return shorter or path.partition("/")[0], version


def _preflight(session: Session, path: str) -> Answer:
    return session.client.request("GET", f"sys/internal/ui/mounts/{path}", accept=(404,), probe=True)


def _version(answer: Answer) -> int:
    options = values.mapping(answer.data.get("options"))
    return 2 if values.number(options.get("version")) == 2 else 1
