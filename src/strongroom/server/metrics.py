"""Numbers for Prometheus, under Vault's names where Vault has one.

Rules of this file:
- On the request path a metric is a plain integer of the worker; text is made when somebody scrapes. A number that cannot be read now, as
  those of the store while it is sealed, is left out.
- No label comes from a request: neither paths nor names can leak or grow without bound.
- Where Vault has a summary and only its count is known here, the count is given under Vault's name.
- A scrape reaches one of several workers and is answered for all: counts are summed, with those of workers that have ended, and so are
  gauges of what each worker has for itself. The others' numbers are those they posted last, at most a second old.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from strongroom.errors import StrongroomError
from strongroom.server.workers.siblings import Post

Number = Callable[[], float]

_SUFFIX: Final = {"gauge": "", "counter": "_total", "summary": "_count"}


class _Named(NamedTuple):
    """`own`: each worker has its own number, and the sum of all is shown; else it is the same in all of them."""

    kind: str
    text: str
    number: Number
    own: bool

    @property
    def counts(self) -> bool:
        return self.kind != "gauge"


class Metrics:
    """The metrics of one worker: names bound to functions that read the number. `others` gives what other workers posted, and `before`
    is what this one's predecessors came to."""

    def __init__(self, others: Callable[[], Sequence[Post]] = tuple, before: Post = Post()) -> None:  # noqa: B008 — frozen
        self._others, self._before = others, before
        self._named: dict[str, _Named] = {}
        self.gauge("process_max_resident_memory_kib", "Most memory the worker has had resident.", _resident)

    def gauge(self, name: str, text: str, number: Number, *, own: bool = False) -> None:
        """A value that goes up and down."""
        self._named[name] = _Named("gauge", text, number, own)

    def counter(self, name: str, text: str, number: Number, *, own: bool = True) -> None:
        """A value that only grows."""
        self._named[name] = _Named("counter", text, number, own)

    def count(self, name: str, text: str, number: Number) -> None:
        """A value that only grows, and that Vault has as the count of a summary."""
        self._named[name] = _Named("summary", text, number, own=True)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Scrape(self.read()))
        return generate_latest(registry)

    def read(self) -> Iterator[tuple[str, _Named, float]]:
        """Every number as it stands, those of the others added."""
        posts = self._others()
        for name, named, value in self._here():
            theirs = sum((post.counts if named.counts else post.gauges).get(name, 0.0) for post in posts) if named.own else 0.0
            yield name, named, value + theirs

    def post(self) -> tuple[dict[str, float], dict[str, float]]:
        """Counts and gauges that others have to add to theirs."""
        own = [(name, named, value) for name, named, value in self._here() if named.own]
        return (
            {name: value for name, named, value in own if named.counts},
            {name: value for name, named, value in own if not named.counts},
        )

    def _here(self) -> Iterator[tuple[str, _Named, float]]:
        for name, named in self._named.items():
            try:
                value = float(named.number())
            except StrongroomError:
                continue
            yield name, named, value + (self._before.counts.get(name, 0.0) if named.own and named.counts else 0.0)


class _Scrape(Collector):
    def __init__(self, numbers: Iterator[tuple[str, _Named, float]]) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        for name, (kind, text, _, _), value in self._numbers:
            metric = Metric(name, text, kind)
            metric.add_sample(name + _SUFFIX[kind], {}, value)
            yield metric


def _resident() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
