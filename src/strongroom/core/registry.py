"""Finding an engine's class by family and kind: `engines/<kind>.py`, `auth/<kind>.py`, `sys/<kind>.py`. There is no list to edit.

Rules of this file: a module is imported when a mount of its kind is first used; a kind is a closed ASCII name, so it can't leave the
package; a missing optional library shows as the module's own sentence naming the extra.
"""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re

from strongroom.core.engine import CLASSES, Engine, Family
from strongroom.errors import InvalidRequest

PACKAGES: dict[str, tuple[str, ...]] = {
    "secrets": ("strongroom.engines",),
    "auth": ("strongroom.auth",),
    "system": ("strongroom.sys", "strongroom.auth"),
}
"""Where the kinds of a family lie; `auth/token` is a system engine among the auth methods."""

ALIASES = {"kv-v1": ("kv", {"version": "1"}), "kv-v2": ("kv", {"version": "2"}), "generic": ("kv", {"version": "1"})}
"""Kinds that Vault's clients say for a kind and options of ours."""

BESIDE = {"oidc": "jwt"}
"""Kinds that have a name of their own in answers, and whose class lies in the file of another kind."""

_KIND = re.compile(r"[a-z][a-z0-9_-]{0,39}", re.ASCII)


def engine_class(family: Family | str, kind: str, version: str = "") -> type[Engine]:
    """The class for a mount. Raises InvalidRequest for a kind that does not exist."""
    found = _registered(family, kind, version)
    if found is None:
        if not _KIND.fullmatch(kind):
            raise InvalidRequest("the type is not the name of an engine")
        for package in PACKAGES[family]:
            name = f"{package}.{BESIDE.get(kind, kind).replace('-', '_')}"
            if importlib.util.find_spec(name) is not None:
                importlib.import_module(name)
        found = _registered(family, kind, version)
    if found is None:
        raise InvalidRequest(f"plugin not found in the catalog: {kind}")
    return found


def _registered(family: str, kind: str, version: str) -> type[Engine] | None:
    return CLASSES.get((family, kind, version)) or CLASSES.get((family, kind, ""))


def kinds(family: Family) -> list[str]:
    """Every kind of a family that this installation has a file for."""
    found = set()
    for package in PACKAGES[family]:
        path = importlib.import_module(package).__path__
        found |= {module.name.replace("_", "-") for module in pkgutil.iter_modules(path) if not module.name.startswith("_")}
    return sorted(found | {kind for kind, file in BESIDE.items() if file in found})
