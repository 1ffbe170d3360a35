"""Scrub: does every stored row open, and do all of them together add up to what the index says?

Rules of this file:
- Reading only, in pages, on an open barrier; beside a running server as well as alone.
- The sum of each page is kept. What was committed meanwhile is found in the feed, and only pages it touched are read again; the last
  comparison is made under the store's lock, on a handful of pages.
- A finding names a row by its key, which tells nothing; a row that was taken away or replayed whole shows in sum and count only.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from strongroom.barrier.barrier import Barrier
from strongroom.barrier.index import Index, record_generation
from strongroom.barrier.keyring import BOOT, SEALS_KEY, boot_payload
from strongroom.barrier.seal import decoded_config
from strongroom.errors import Sealed, StorageTampered
from strongroom.storage.api import INDEX_KEY, MAX_KEY, Feed, Group

PAGE_ROWS = 200
UNDER_LOCK = 16
"""Pages that may be read again while everybody waits: milliseconds."""
ROUNDS = 50
"""Tries to get that few changed pages; each is shorter than the one before."""
MAX_FINDINGS = 1_000
"""Named rows; beyond it they are only counted."""

_END = b"\xff" * (MAX_KEY + 1)


class Finding(NamedTuple):
    """One thing that is not as it was written. `row` is a row key in hex, "" for the store as a whole."""

    row: str
    text: str


class Report(NamedTuple):
    """What a scrub saw. `damaged` counts all rows that do not open, named or not."""

    rows: int
    gsn: int
    damaged: int
    findings: tuple[Finding, ...]

    @property
    def clean(self) -> bool:
        """Whether everything is as it was written."""
        return not self.findings


class _Page:
    """Rows from `start` up to the next page's start."""

    __slots__ = ("bad", "count", "start", "total")

    def __init__(self, start: bytes) -> None:
        self.start = start
        self.total = 0
        self.count = 0
        self.bad: dict[bytes, str] = {}


class _Scrub:
    """One run over all rows."""

    def __init__(self, barrier: Barrier) -> None:
        self.barrier = barrier
        self.storage = barrier.storage
        self.terms = barrier.keys.terms
        self.pages: list[_Page] = []

    def walk(self) -> None:
        """Read everything once and remember what each page adds up to."""
        start = b""
        self.pages = []
        while True:
            rows = self.storage.scan(start, _END, PAGE_ROWS)
            page = _Page(start)
            self._sum(page, rows)
            self.pages.append(page)
            if len(rows) < PAGE_ROWS:
                return
            start = rows[-1][0] + b"\0"

    def again(self, page: _Page) -> None:
        """Read one page anew; it may have grown or shrunk."""
        at = self._index(page.start)
        stop = self.pages[at + 1].start if at + 1 < len(self.pages) else _END
        self._sum(page, self.storage.scan(page.start, stop, -1))

    def _index(self, key: bytes) -> int:
        return bisect_right(self.pages, key, key=lambda page: page.start) - 1

    def touched(self, feed: Feed) -> list[_Page]:
        """The pages that hold changed rows."""
        if feed.keys is None:
            return list(self.pages)
        numbers = {self._index(key) for key in feed.keys if key != INDEX_KEY}
        return [self.pages[number] for number in sorted(numbers)]

    def _sum(self, page: _Page, rows: list[tuple[bytes, bytes]]) -> None:
        page.total = page.count = 0
        page.bad = {}
        for key, record in rows:
            if key == INDEX_KEY:
                continue
            page.count += 1
            if len(record) < 14:
                page.bad[key] = "the record is cut short"
                continue
            page.total += self.terms.term(key, record_generation(record), record)
            self._open(page, key, record)

    def _open(self, page: _Page, key: bytes, record: bytes) -> None:
        try:
            if key[: len(BOOT)] != BOOT:
                self.barrier.open(key, record)
            elif key == SEALS_KEY:
                decoded_config(boot_payload(record)).authenticate(self.barrier.keys.root, self.barrier.keys.installation)
            else:
                boot_payload(record)
        except Sealed:
            raise
        except StorageTampered:
            page.bad[key] = "the record was changed, moved here from another row, or belongs to another installation"

    def settle(self) -> tuple[Group, int]:
        """Bring all pages to one commit. Returns the group that holds the store's lock there, and that commit's gsn."""
        since = self.storage.changed(0).gsn
        self.walk()
        for _ in range(ROUNDS):
            feed = self.storage.changed(since)
            pages = self.touched(feed)
            if len(pages) <= UNDER_LOCK:
                break
            for page in pages:
                self.again(page)
            since = feed.gsn
        group = self.storage.begin(since, ())
        try:
            for page in self.touched(group.feed):
                self.again(page)
        except BaseException:
            group.abandon()
            raise
        return group, group.gsn - 1


def scrub(barrier: Barrier) -> Report:
    """Check every row and the index. Raises Sealed and StorageUnusable; what is wrong is in the report."""
    run = _Scrub(barrier)
    group, gsn = run.settle()
    try:
        record = group.entries.get(INDEX_KEY)
    finally:
        group.abandon()
    bad = {key: text for page in run.pages for key, text in page.bad.items()}
    findings = [Finding(key.hex(), text) for key, text in list(bad.items())[:MAX_FINDINGS]]
    findings += _compare(barrier, run, record, gsn)
    return Report(sum(page.count for page in run.pages), gsn, len(bad), tuple(findings))


def _compare(barrier: Barrier, run: _Scrub, record: bytes | None, gsn: int) -> list[Finding]:
    """What the index row says against what lies there."""
    if record is None:
        return [Finding(INDEX_KEY.hex(), "the index row is missing")]
    try:
        index = barrier.read_index(record)
    except StorageTampered:
        return [Finding(INDEX_KEY.hex(), "the index row was changed")]
    findings = []
    if index.gsn != gsn:
        findings.append(Finding("", f"the store counts {gsn} commits, the index {index.gsn}: one of them was put back"))
    count = sum(page.count for page in run.pages)
    if count != index.count:
        what = f"{index.count - count} rows are missing" if count < index.count else f"{count - index.count} rows were added"
        findings.append(Finding("", what))
    findings += _sums(run, index, count)
    return findings


def _sums(run: _Scrub, index: Index, count: int) -> list[Finding]:
    total = sum(page.total for page in run.pages) % (1 << 512)
    if total.to_bytes(64, "big") == index.sigma:
        return []
    same = "as many rows as there should be, but " if count == index.count else ""
    return [Finding("", f"the sum over all rows does not agree: {same}some are not what was written last")]
