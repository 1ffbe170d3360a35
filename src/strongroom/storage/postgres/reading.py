"""Reading ranges of the tables, and several things as of one instant: on the primary and on a standby alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from strongroom.storage import walk
from strongroom.storage.api import Below, Child, Scan, Wanted
from strongroom.storage.postgres import schema
from strongroom.storage.postgres.link import Link
from strongroom.storage.postgres.whole import read_scan


@contextmanager
def snapshot(link: Link) -> Iterator[None]:
    """All reads of the block see one instant."""
    link.execute(schema.SNAPSHOT)
    yield
    link.execute("COMMIT")


def read_ranges(link: Link, wanted: Wanted) -> tuple[dict[Scan, list[tuple[bytes, bytes]]], dict[Below, list[Child]]]:
    """The ranges of a wish."""
    scans = {each: read_scan(link, each) for each in wanted.ranges if isinstance(each, Scan)}
    return scans, {each: read_children(link, each) for each in wanted.ranges if isinstance(each, Below)}


def read_children(link: Link, below: Below) -> list[Child]:
    """Names directly below a prefix."""

    def page(start: bytes, stop: bytes, size: int) -> list[bytes]:
        return [row[0] for row in link.ask(schema.PAGE, [start, stop, size]).fetchall()]

    return walk.children(page, below.prefix, below.after, below.limit)
