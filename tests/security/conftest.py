"""One real server for all tests of this folder that do not break it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.server import Server, serving


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A running, initialised server with `secret/` mounted; ask it for clients."""
    with serving(tmp_path_factory.mktemp("live")) as (server, _):
        yield server
