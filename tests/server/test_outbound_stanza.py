"""`outbound { allow = […] }` has effect in a real server: what is refused without it is dialled with it, and metadata never is."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from strongroom.errors import ConfigError
from strongroom.server.config import parse_config
from tests.support.server import serving

MAPPED = "::ffff:127.0.0.1"
"""This host, in a form that is refused unless it is listed."""


@pytest.mark.parametrize(
    ("extra", "said"),
    [("", "set aside for a special purpose"), ('outbound { allow = ["::ffff:0:0/96"] }', "no connection")],
)
def test_what_is_listed_is_dialled(tmp_path: Path, extra: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with serving(tmp_path, extra=extra) as (_, root):
        assert root.write("sys/auth/github", {"type": "github"}).status == 204
        answers = {
            host: root.write("auth/github/config", {"organization": "acme", "base_url": f"https://[{host}]:{port}/"}).text
            for host in (MAPPED, "::ffff:169.254.169.254")
        }
    assert said in answers[MAPPED]
    assert "link-local" in answers["::ffff:169.254.169.254"] or "special purpose" in answers["::ffff:169.254.169.254"]


@pytest.mark.parametrize("network", ["example.com", "10.0.0.1/8", "169.254.0.0/16"])
def test_a_list_that_cannot_be_right_does_not_start(network: str) -> None:
    with pytest.raises(ConfigError, match="outbound"):
        parse_config(f'outbound {{ allow = ["{network}"] }}', {})
