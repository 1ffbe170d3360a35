"""Each alarm is about numbers that the server shows, and has its page; each page has its alarm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.server.test_readings import numbers
from tests.support.nodes import node
from tests.support.postgres import fresh_database, postgres
from tests.support.server import serving

ROOT = Path(__file__).resolve().parents[2]
RULES = (ROOT / "packaging" / "prometheus-rules.yml").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "alarms.md").read_text(encoding="utf-8")
ALARMS = re.findall(r"- alert: (\w+)\n +expr: (.+)\n", RULES)
BEHIND_A_PROXY = 'proxy_protocol_behavior = "allow_authorized"\n  proxy_protocol_authorized_addrs = "127.0.0.2"'


def named(expression: str) -> set[str]:
    """The metrics in an expression; `up` is Prometheus' own."""
    return set(re.findall(r"\b(?:vault|strongroom|process)_\w+", expression))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What a server of each kind shows; the primary stands in for its standby."""
    url = fresh_database()
    far = node(tmp_path_factory.mktemp("far"), f'{url}"\n  read_url = "{url}')
    try:
        found = set(numbers(far.begin()))
    finally:
        far.close()
    with serving(tmp_path_factory.mktemp("one"), listener=BEHIND_A_PROXY) as (_, root):
        return found | set(numbers(root))


def test_every_number_in_a_rule_is_one_that_a_server_shows(shown: set[str]) -> None:
    assert len(ALARMS) == RULES.count("- alert:") > 10
    assert {name for _, expression in ALARMS for name in named(expression)} <= shown


def test_a_number_that_nobody_shows_is_found(shown: set[str]) -> None:
    assert not named("increase(strongroom_worker_restart_total[5m]) > 0") <= shown


def test_every_alarm_has_what_to_do_and_only_they() -> None:
    assert re.findall(r"^## (\w+)$", PAGE, re.MULTILINE) == [alarm for alarm, _ in ALARMS]


def test_a_sealed_server_shows_that_it_is_where_its_listener_opens_metrics(tmp_path: Path) -> None:
    with serving(tmp_path, listener="unauthenticated_metrics_access = true") as (server, root):
        root.write("sys/seal", {})
        assert numbers(server.client(""))["vault_core_unsealed"] == 0
        with server.client("", tls=True) as closed:  # the other listener does not
            assert closed.read("sys/metrics?format=prometheus").status == 503


def test_a_node_shows_that_its_database_is_gone(tmp_path: Path) -> None:
    with postgres() as database:
        made = node(tmp_path, database.url, listener="unauthenticated_metrics_access = true")
        try:
            root = made.begin()
            assert numbers(root)["strongroom_database_reachable"] == 1
            database.crash()
            assert root.read("secret/data/one").status == 503
            assert numbers(made.client(""))["strongroom_database_reachable"] == 0
        finally:
            made.close()
