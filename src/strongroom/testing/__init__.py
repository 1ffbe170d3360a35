"""The test kit, for strongroom's own tests and for its users: a server in memory, a clock you own, a caller who may do anything.

from strongroom.testing import Strongroom
room = Strongroom()
room.write("secret/data/app", {"data": {"password": "…"}})
"""

from strongroom.testing.room import FakeClock, Strongroom

__all__ = ["FakeClock", "Strongroom"]
