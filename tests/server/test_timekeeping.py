"""What is said about clocks: once when something is wrong with them, once when it is right again."""

from __future__ import annotations

import io

from strongroom.clock import SECOND, SystemClock
from strongroom.server.logs import Log
from strongroom.server.timekeeping import Timekeeping


class Machine:
    """Clocks that a test sets, in seconds, and what was logged about them."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_000.0, 10.0
        self.text = io.StringIO()
        clock = SystemClock(lambda: int(self.wall * SECOND), lambda: int(self.steady * SECOND))
        self.timekeeping = Timekeeping(clock, Log(stream=self.text))
        self.timekeeping.look()

    def goes(self, wall: float, steady: float) -> int:
        """Both go on; how many lines have been logged since the start."""
        self.wall += wall
        self.steady += steady
        self.timekeeping.look()
        return len(self.text.getvalue().splitlines())


def test_a_clock_that_is_set_back_is_told_of_once_and_so_is_its_being_met() -> None:
    machine = Machine()
    assert machine.goes(1, 1) == 0
    assert machine.goes(-1, 1) == 0, "less than two seconds is a correction"
    assert machine.goes(-60, 1) == 1
    assert machine.goes(1, 1) == 1
    assert "the machine's clock was set back" in machine.text.getvalue()
    assert machine.goes(200, 1) == 2
    assert "met again" in machine.text.getvalue()


def test_a_clock_that_is_not_the_databases_is_told_of_once_each_way() -> None:
    machine = Machine()
    for said, lines in ((1_000.5, 0), (1_010.0, 1), (1_011.0, 1), (1_001.0, 2), (990.0, 3)):
        machine.timekeeping.compare(said)
        assert len(machine.text.getvalue().splitlines()) == lines
    assert "seconds_ahead=-10.0" in machine.text.getvalue()
    assert "seconds_ahead=10.0" in machine.text.getvalue()
