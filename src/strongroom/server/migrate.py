"""`strongroom operator migrate`: a whole store from one kind of storage into another.

Rules of this file: both servers are stopped; the store that is read stays as it is; what was filled is scrubbed before it is called copied.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from strongroom.barrier.barrier import Barrier
from strongroom.errors import ConfigError
from strongroom.server.config import load_config
from strongroom.server.offline import FOUND, INTACT, config_of, flags_of, opened, show
from strongroom.server.replacing import scrubbed, target, verdict
from strongroom.storage.directory import lock_directory
from strongroom.storage.whole import pages, whole


def migrate(argv: list[str]) -> int:
    """Copy a store into another, empty one, and scrub that."""
    flags = flags_of("operator migrate", "Copy the whole store of -config, whose server is stopped, into the one of -to; both stay.")
    flags.add_argument("-to", "--to", action="append", default=[], metavar="PATH", help="configuration whose store is to be filled")
    flags.add_argument("-force", "--force", action="store_true", help="also in the place of what the other store holds")
    options = flags.parse_args(argv)
    if not options.to:
        raise ConfigError("say into which store: -to=CONFIGURATION")
    source, config = config_of(options), load_config([Path(path) for path in options.to], os.environ)
    with ExitStack() as held:
        if source.storage.kind == "sqlite":
            held.enter_context(lock_directory(Path(source.storage.path)))
        barrier = held.enter_context(opened(source))
        storage = held.enter_context(target(config))
        if Barrier(storage).installation() is not None and not options.force:
            raise ConfigError("the store to be filled holds an installation; nothing was changed. Name an empty one, or say -force")
        with whole(barrier.storage).instant() as instant:
            whole(storage).replace(pages(instant), instant.gsn, instant.min_epoch)
        report = scrubbed(storage, barrier)
    facts = {"gsn": report.gsn, "rows": report.rows, "clean": report.clean, "findings": [found.text for found in report.findings]}
    show(options, facts, "\n".join([f"copied: {report.rows} rows, commit {report.gsn}", *verdict(report)]))
    return INTACT if report.clean else FOUND
