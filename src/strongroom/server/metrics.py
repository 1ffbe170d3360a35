"""Numbers for Prometheus, under Vault's names where Vault has one.

Rules of this file:
- On the request path a metric is a plain integer of the worker; text is made when somebody scrapes.
- No label comes from a request: neither paths nor names can leak or grow without bound.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

Number = Callable[[], float]


class Metrics:
    """The metrics of one worker: names bound to functions that read the number."""

    def __init__(self) -> None:
        self._gauges: dict[str, tuple[str, Number]] = {}
        self._counters: dict[str, tuple[str, Number]] = {}
        self.gauge("process_max_resident_memory_kib", "Most memory the worker has had resident.", _resident)

    def gauge(self, name: str, text: str, number: Number) -> None:
        """A value that goes up and down."""
        self._gauges[name] = (text, number)

    def counter(self, name: str, text: str, number: Number) -> None:
        """A value that only grows."""
        self._counters[name] = (text, number)

    def text(self) -> bytes:
        """All of them in Prometheus' text format."""
        registry = CollectorRegistry()
        registry.register(_Scrape(self._gauges, self._counters))
        return generate_latest(registry)

    def values(self) -> tuple[dict[str, float], dict[str, float]]:
        """Gauges and counters as they stand."""
        return (
            {name: number() for name, (_, number) in self._gauges.items()},
            {name: number() for name, (_, number) in self._counters.items()},
        )


class _Scrape(Collector):
    def __init__(self, gauges: dict[str, tuple[str, Number]], counters: dict[str, tuple[str, Number]]) -> None:
        self._gauges = gauges
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        for name, (text, number) in self._gauges.items():
            yield GaugeMetricFamily(name, text, value=number())
        for name, (text, number) in self._counters.items():
            yield CounterMetricFamily(name, text, value=number())


def _resident() -> float:
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
