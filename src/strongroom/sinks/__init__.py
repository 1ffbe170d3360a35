"""Audit sinks, a file each, found by name: the kind of a device is the name of its module, which has
`make(options, slot, directory, outbound)`.

Rules of this package:
- A sink implements core.audit.sink.Sink and knows nothing of entries.
- There is no list of sinks: put a file here and `kind` is its name.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Protocol, cast

from strongroom.core.audit.sink import Sink
from strongroom.errors import InvalidRequest
from strongroom.outbound.client import Outbound


class _Module(Protocol):
    def make(self, options: Mapping[str, str], slot: int, directory: str, outbound: Outbound) -> Sink: ...


def make(kind: str, options: Mapping[str, str], slot: int = 0, directory: str = "", outbound: Outbound | None = None) -> Sink:
    """The sink of a device in one worker. `directory`: the only place its files may be in; "" = anywhere. `outbound`: its way to others."""
    name = f"{__name__}.{kind}"
    if not kind.isidentifier() or importlib.util.find_spec(name) is None:
        raise InvalidRequest(f'unknown backend type: "{kind}"; "strongroom audit enable -help" lists those there are')
    return cast("_Module", importlib.import_module(name)).make(options, slot, directory, outbound or Outbound())
