"""The guarded way is the only one: what runs in the server and dials is in `outbound`, so no engine can go round it (T20.1)."""

from __future__ import annotations

import ast

import pytest

from tests.lint.source import modules

CLIENTS = frozenset(("http.client", "urllib.request", "ftplib", "smtplib", "xmlrpc.client", "asyncio", "requests", "httpx", "urllib3"))
CALLS = frozenset(("socket.socket", "socket.create_connection", "socket.getaddrinfo", "socket.gethostbyname"))
GUARDED = ("core/", "engines/", "auth/", "sys/", "sinks/", "api/", "barrier/")
"""The server itself listens, the store connects to what its operator configured, and client programs are clients."""


def ways(tree: ast.Module) -> set[str]:
    """What in a module could open a connection, or look a name up."""
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return names & CLIENTS | calls & CALLS


@pytest.mark.parametrize("path", [path for path in modules() if path.startswith(GUARDED)])
def test_nothing_else_can_open_a_connection(path: str) -> None:
    assert not ways(modules()[path]), f"{path}: connect through self.outbound"


def test_the_lint_finds_what_it_is_for() -> None:
    tree = ast.parse("socket.create_connection(x)\nfrom http.client import HTTPConnection")
    assert ways(tree) == {"socket.create_connection", "http.client"}
