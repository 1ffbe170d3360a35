"""Of results comes a page, whatever there is of them; a run that was interrupted goes on."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

from bench import report
from bench.chart import Bars, chart
from bench.matrix import KINDS, cells
from bench.measure import Figure
from bench.operations import MANY
from bench.results import Results

FIGURE = Figure(20.0, 10.0, 2.0, 1.9, 2.1, 40_000.0, 1.5, 9.0, 0)


def test_what_was_measured_is_not_measured_again(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    Results(path).put("one", {"ratio": 2.0})
    again = Results(path)
    assert "one" in again
    assert "two" not in again
    assert again.found["one"] == {"ratio": 2.0}


def test_the_matrix_has_every_operation_where_it_means_something() -> None:
    every = [str(cell) for kind in KINDS for cell in cells(kind)]
    assert len(every) == len(set(every))
    assert {cell.kind.secrets for kind in KINDS for cell in cells(kind) if cell.operation == "miss"} == {MANY, 1_000_000}


def test_the_page_has_what_there_is(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.jsonl")
    report.write(results, tmp_path)
    assert (tmp_path / "measurements.md").read_text().count("\n|") == 4, "two tables without a line"
    for kind in KINDS:
        for cell in cells(kind):
            results.put(str(cell), FIGURE._asdict())
    report.write(results, tmp_path)
    page = (tmp_path / "measurements.md").read_text()
    assert "| sqlite | 1 | 1,000 | KV v2 read | 64 |  | 20.0 | 2.00 | 1.90–2.10 | 40,000 | 1.50 | 9.00 |" in page
    assert "| KV read, CPU with two workers / with one | 1.00 | ≤ 1.15 |" in page
    ET.parse(tmp_path / "measurements.svg")


def test_bars_are_as_long_as_their_values_and_names_cannot_break_out() -> None:
    root = ET.fromstring(chart("a < b", "x", ["one", "two"], [Bars('"&', [1.0, None]), Bars("c", [4.0, 2.0])]))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(each.get("width", "0")) for each in root.iter(f"{space}rect") if each.get("height") != "10"]
    assert widths == [115.0, 460.0, 230.0]
    assert '"&' in [each.text for each in root.iter(f"{space}text")]
