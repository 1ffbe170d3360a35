"""Metrics are numbers under fixed names."""

from __future__ import annotations

from strongroom.errors import Sealed
from strongroom.server.metrics import Metrics
from strongroom.server.workers.siblings import Post


def test_numbers_are_read_when_somebody_asks() -> None:
    metrics = Metrics()
    value = [1.0]
    metrics.gauge("a_gauge", "A gauge.", lambda: value[0])
    metrics.counter("a_counter", "A counter.", lambda: value[0])
    value[0] = 7.0
    text = metrics.text().decode()
    assert "# HELP a_gauge A gauge." in text
    assert "a_gauge 7.0" in text
    assert "a_counter_total 7.0" in text
    numbers = {name: value for name, _, value in metrics.read()}
    assert numbers["a_gauge"] == numbers["a_counter"] == 7.0
    assert numbers["process_max_resident_memory_kib"] > 1_000
    assert "{" not in text, "no label comes from anywhere"


def test_a_count_has_the_name_of_vaults_summary() -> None:
    metrics = Metrics()
    metrics.count("vault_core_handle_request", "Requests.", lambda: 3)
    text = metrics.text().decode()
    assert "# TYPE vault_core_handle_request summary" in text
    assert "vault_core_handle_request_count 3.0" in text


def test_a_number_that_cannot_be_read_now_is_left_out() -> None:
    def sealed() -> float:
        raise Sealed

    metrics = Metrics()
    metrics.gauge("of_the_store", "A gauge.", sealed)
    metrics.gauge("of_the_process", "A gauge.", lambda: 1)
    text = metrics.text().decode()
    assert "of_the_process 1.0" in text
    assert "of_the_store" not in text


def test_what_each_worker_has_for_itself_is_summed_and_the_rest_is_not() -> None:
    others = [Post(counts={"requests": 5.0, "rows": 7.0}, gauges={"connections": 2.0}), Post(counts={"requests": 1.0})]
    metrics = Metrics(lambda: others, Post(counts={"requests": 100.0}, gauges={"connections": 50.0}))
    metrics.count("requests", "Requests.", lambda: 10)
    metrics.gauge("connections", "Connections.", lambda: 3, own=True)
    metrics.gauge("sealed", "A state.", lambda: 1)
    metrics.counter("rows", "Rows of the store.", lambda: 7, own=False)
    shown = {name: value for name, _, value in metrics.read()}
    assert (shown["requests"], shown["connections"], shown["sealed"], shown["rows"]) == (116.0, 5.0, 1.0, 7.0)
    assert metrics.post() == ({"requests": 110.0}, {"connections": 3.0})
