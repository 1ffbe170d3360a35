"""A small typed client of the Vault API over sockets; the command line is built on it.

Promised here: `Client`, `Settings`, `from_environment`, `Answer`, and the errors.
"""

from __future__ import annotations

from strongroom.client.client import Answer, Client, Prepared
from strongroom.client.errors import BadAnswer, BadSettings, ClientError, Refused, Unreachable, Untrusted
from strongroom.client.settings import Settings, from_environment

__all__ = [
    "Answer",
    "BadAnswer",
    "BadSettings",
    "Client",
    "ClientError",
    "Prepared",
    "Refused",
    "Settings",
    "Unreachable",
    "Untrusted",
    "from_environment",
]
