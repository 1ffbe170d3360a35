"""Numbers for Prometheus, under Vault's names where Vault has one.

Rules of this file:
- On the request path a metric is a plain integer of the worker; text is made when somebody scrapes. A number that cannot be read now, as
  those of the store while it is sealed, is left out.
- No label comes from a request: neither paths nor names can leak or grow without bound.
- Where Vault has a summary and only its count is known here, the count is given under Vault's name.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from strongroom.errors import StrongroomError

Number = Callable[[], float]

_SUFFIX: Final = {"gauge": "", "counter": "_total", "summary": "_count"}


class _Named(NamedTuple):
    kind: str
    text: str
    number: Number


class Metrics:
    """The metrics of one worker: names bound to functions that read the number."""

    def __init__(self) -> None:
        self._named: dict[str, _Named] = {}
        self.gauge("process_max_resident_memory_kib", "Most memory the worker has had resident.", _resident)

    def gauge(self, name: str, text: str, number: Number) -> None:
        """A value that goes up and down."""
        self._named[name] = _Named("gauge", text, number)

    def counter(self, name: str, text: str, number: Number) -> None:
        """A value that only grows."""
        self._named[name] = _Named("counter", text, number)

    def count(self, name: str, text: str, number: Number) -> None:
        """A value that only grows, and that Vault has as the count of a summary."""
        self._named[name] = _Named("summary", text, number)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Scrape(self._named))
        return generate_latest(registry)

    def values(self) -> tuple[dict[str, float], dict[str, float]]:
        """Gauges and counts as they stand."""
        numbers = {name: (named.kind == "gauge", named.number()) for name, named in self._named.items()}
        return (
            {name: number for name, (gauge, number) in numbers.items() if gauge},
            {name: number for name, (gauge, number) in numbers.items() if not gauge},
        )


class _Scrape(Collector):
    def __init__(self, named: dict[str, _Named]) -> None:
        self._named = named

    def collect(self) -> Iterator[Metric]:
        for name, (kind, text, number) in self._named.items():
            try:
                value = float(number())
            except StrongroomError:
                continue
            metric = Metric(name, text, kind)
            metric.add_sample(name + _SUFFIX[kind], {}, value)
            yield metric


def _resident() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
