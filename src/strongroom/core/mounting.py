"""Mounting, tuning, moving and unmounting an engine: what sys/mounts and sys/auth have in common.

Rules of this file:
- `path` is what a caller wrote behind `sys/mounts/` or `sys/auth/`; auth methods live below `auth/` in the one table of mounts.
- Everything is staged: the engine's own hooks run in the same call, so a mount that cannot be set up never exists.
"""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from strongroom.core.call import Call
from strongroom.core.core import Core
from strongroom.core.mount import Mount
from strongroom.core.mounts import PROTECTED, mount_path, new_mount, reserved
from strongroom.core.registry import ALIASES, engine_class
from strongroom.core.tuning import (
    UNTUNABLE,
    EnableBody,
    TuneBody,
    changed_config,
    changed_options,
    check_options,
    check_version,
    first_config,
    read_config,
)
from strongroom.errors import InvalidRequest, UnsupportedOperation

UNMOUNTABLE = ("cubbyhole", "system", "identity", "token")
"""Kinds of which there is one, from the start."""
UNREMOVABLE = (*PROTECTED, "audit/")

UPGRADE = "Upgrading mount from version 1 to version 2. This mount will be unavailable for a brief period and will resume service shortly."


def prefix(family: str) -> str:
    """Where mounts of a family lie."""
    return "auth/" if family == "auth" else ""


def existing(core: Core, call: Call, family: str, path: str) -> Mount | None:
    """The mount that a path in `sys/mounts/` or `sys/auth/` names."""
    full = prefix(family) + path.strip("/") + "/"
    if family == "secrets" and full.startswith("auth/"):
        return None
    return core.mounts.table(call.transaction).by_path.get(full)


NOT_SHOWN = 'cannot fetch sysview for path "{}"'
NOT_TUNED = 'tune of path "{}" failed: no mount entry found'
"""What is said where there is nothing whose settings could be read, or changed."""


def whole(core: Core, call: Call, path: str, otherwise: str = "") -> Mount:
    """The mount at a whole path, `auth/` included. Raises InvalidRequest, which says `otherwise` of that path."""
    path = path.strip("/") + "/"
    mount = core.mounts.table(call.transaction).by_path.get(path)
    if mount is None and otherwise:
        raise InvalidRequest(otherwise.format(path))
    if mount is None:
        what, name = ("auth engine", path.removeprefix("auth/")) if path[5:] and path.startswith("auth/") else ("secret engine mount", path)
        raise InvalidRequest(f"No {what} at {name}")
    return mount


def mounted(core: Core, call: Call, family: str) -> dict[str, Mount]:
    """All mounts of `sys/mounts` or `sys/auth`, by the path shown there."""
    mounts = core.mounts.table(call.transaction).by_path
    head = prefix(family)
    if head:
        return {path.removeprefix(head): mount for path, mount in mounts.items() if path.startswith(head)}
    return {path: mount for path, mount in mounts.items() if not path.startswith("auth/")}


def enable(core: Core, call: Call, family: str, path: str, body: EnableBody) -> tuple[str, ...]:
    """Stage a new mount; warnings for what was ignored. Raises InvalidRequest."""
    kind, fixed = _kind(family, body)
    free = free_path(core, call, family, path)
    options = {name: value for name, value in {**body.options, **fixed}.items() if value}
    engine_class(family, kind, options.get("version", ""))
    config, warnings = read_config(body.config)
    check_version(family, kind, config.plugin_version)
    mount = new_mount(
        free,
        kind,
        family,
        description=body.description,
        options=options,
        local=body.local,
        seal_wrap=body.seal_wrap,
        external_entropy_access=body.external_entropy_access,
    )
    mount = msgspec.structs.replace(mount, config=first_config(mount, config, core.mounts.ttls(None).max))
    core.mounts.add(call.transaction, mount)
    engine = core.engine_of(call, mount)
    engine.check_mount()
    engine.setup()
    return warnings


def _kind(family: str, body: EnableBody) -> tuple[str, dict[str, str]]:
    """The kind that is asked for, and the options that its name stands for."""
    name = body.plugin_name if body.type in ("", "plugin") else body.type
    if not name and body.type:
        raise InvalidRequest("plugin_name must be provided for plugin backend")
    if not name:
        raise InvalidRequest("backend type must be specified as a string")
    kind, options = ALIASES.get(name, (name, {})) if family == "secrets" else (name, {})
    if family == "secrets" and kind in UNMOUNTABLE:
        raise InvalidRequest(f'mount type of "{kind}" is not mountable')
    if family == "auth" and kind == "token":
        raise InvalidRequest("token credential backend cannot be instantiated")
    check_options(family, kind, body.options)
    return kind, options


def free_path(core: Core, call: Call, family: str, path: str) -> str:
    """The canonical full path for a new mount. Raises InvalidRequest where it is reserved, not well formed or taken."""
    path = mount_path(path)
    if family == "secrets" and reserved(path):
        raise InvalidRequest(f'cannot mount "{path}"')
    full = prefix(family) + path
    taken = core.mounts.table(call.transaction).conflict(full)
    if taken:
        raise InvalidRequest(f"path is already in use at {taken.removeprefix(prefix(family))}")
    return full


def check_move(source: str, target: str) -> str:
    """The family of a mount that may be moved from one of these paths to the other. Raises InvalidRequest."""
    if "/" in (source, target):
        raise InvalidRequest("both 'from' and 'to' path must be specified as a string")
    if source in PROTECTED:
        raise InvalidRequest(f'cannot remount "{source}"')
    if source.startswith("auth/"):
        if not target.startswith("auth/"):
            raise InvalidRequest(f'cannot remount auth mount to non-auth mount "{target}"')
        return "auth"
    if reserved(target):
        raise InvalidRequest(f"cannot remount to destination {target}")
    return "secrets"


def tune(core: Core, call: Call, mount: Mount, body: TuneBody) -> tuple[str, ...]:
    """Stage changed settings; warnings. Raises InvalidRequest."""
    if mount.path in UNTUNABLE:
        raise InvalidRequest(f'cannot tune "{mount.path}"')
    check_version(mount.family, mount.kind, body.plugin_version)
    options = mount.options if body.options is UNSET else changed_options(mount, body.options)
    description = mount.description if body.description is UNSET else body.description
    config = changed_config(mount, body)
    changed = msgspec.structs.replace(mount, config=config, options=options, description=description)
    if changed == mount:
        return ()
    core.mounts.store(call.transaction, changed)
    engine = core.engine_of(call, changed)
    engine.check_mount()
    engine.tuned(mount)
    return (UPGRADE,) if options.get("version") == "2" != mount.options.get("version") else ()


def remove(core: Core, call: Call, family: str, path: str) -> None:
    """Stage the end of a mount; nothing happens where there is none. Raises InvalidRequest for mounts that always exist."""
    full = prefix(family) + path.strip("/") + "/"
    if path.strip("/").endswith("/tune"):  # its tuning is meant, which nobody deletes
        raise UnsupportedOperation
    if family == "auth" and full == "auth/token/":
        raise InvalidRequest("token credential backend cannot be disabled")
    if full in UNREMOVABLE:
        raise InvalidRequest(f'cannot unmount "{full}"')
    mount = existing(core, call, family, path)
    if mount is not None:
        core.mounts.remove(call.transaction, mount)
