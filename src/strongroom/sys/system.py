"""The engine at `sys/`: all the route classes of this package in one.

Rules of this file: a route class is a subclass of `Routes` in any module of the package; being there is all it takes.
"""

from __future__ import annotations

import importlib
import pkgutil

import strongroom.sys as package
from strongroom.core.core import SystemEngine
from strongroom.sys.routes import Routes

for _module in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
    if _module != "system":
        importlib.import_module(f"{package.__name__}.{_module}")


def _route_classes() -> tuple[type[Routes], ...]:
    return tuple(sorted((found for found in Routes.__subclasses__()), key=lambda found: found.__module__))


System = type(
    "System",
    (*_route_classes(), SystemEngine),
    {
        "__doc__": "Control, policy, audit, leases and tools of the server itself.",
        "folds": frozenset({"name", "header", "alias_identifier"}),
    },
    kind="system",
    family="system",
)
