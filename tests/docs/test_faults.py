"""docs/faults.md: each fault has a test that CI runs, and a control that shows that it can fail; the page's table is what the marks say."""

from __future__ import annotations

import re

from tests.docs.faults import marked, with_table
from tests.docs.pages import DOCS

PAGE = (DOCS / "faults.md").read_text(encoding="utf-8")
LATER = {"F24", "F25", "F26", "F31"}
"""About engines that are not there yet."""


def described() -> set[str]:
    """The faults of the page's first table."""
    rows = re.findall(r"^\| (F[\dF, ]+) \| ", PAGE.partition("## What must hold")[2].partition("\n## ")[0], re.MULTILINE)
    return {fault for row in rows for fault in row.split(", ")}


def test_every_fault_is_described_and_tested_in_ci() -> None:
    short = {each.fault for each in marked() if not each.long}
    assert short == described()
    assert described() | LATER == {f"F{number}" for number in range(1, 34)}


def test_every_fault_has_a_control_of_its_own_in_ci() -> None:
    assert {each.fault for each in marked() if each.control and not each.long} == described()


def test_the_table_of_tests_is_up_to_date() -> None:
    assert with_table(PAGE) == PAGE, "docs/faults.md is behind the tests; run: make docs"
