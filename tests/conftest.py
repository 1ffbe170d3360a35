"""What every test shares: hypothesis profiles and the markers `long`, `fault` and `control`.

Rules of this file:
- `STRONGROOM_TEST_PROFILE=ci` (the default) keeps the whole suite within minutes on two cores; `long` is for `make faults`.
- `@pytest.mark.fault("F6")` says which fault of docs/faults.md a test injects; STRONGROOM_FAULT=F6 runs those alone.
- No fixture lives here: a fixture belongs beside the tests that use it, or in `strongroom.testing` where users want it too.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.ledger import ledgers, passed

PROFILE = os.environ.get("STRONGROOM_TEST_PROFILE", "ci")
FAULT = os.environ.get("STRONGROOM_FAULT", "")

# No deadline: how long one example takes says more about the neighbours on the machine than about the code.
settings.register_profile("ci", max_examples=100, stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("long", parent=settings.get_profile("ci"), max_examples=2_000, stateful_step_count=100)
settings.load_profile(PROFILE)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "fault(*names): injects these faults of docs/faults.md")
    config.addinivalue_line("markers", "control: shows that the harness beside it finds what it is for")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip what is marked `long`, unless it was asked for; leave out what is about another fault than the one asked for."""
    if FAULT:
        others = [item for item in items if not any(FAULT in mark.args for mark in item.iter_markers("fault"))]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]
    if PROFILE == "long":
        for item in items:
            if passed(item):
                item.add_marker(pytest.mark.skip(reason="passed already"))
        return
    skip = pytest.mark.skip(reason="takes minutes; runs under STRONGROOM_TEST_PROFILE=long")
    for item in items:
        if item.get_closest_marker("long") is not None:
            item.add_marker(skip)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Under `make faults`, note what passed."""
    report = yield
    if PROFILE == "long" and report.when == "call" and report.passed:
        for ledger in ledgers(item):
            ledger.note(1, call.duration)
    return report
