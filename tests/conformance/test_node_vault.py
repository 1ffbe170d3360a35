"""The Node client, where it is installed. Nothing is downloaded here: say where it lies with STRONGROOM_NODE_MODULES."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.server import Running, clean_environment

MODULES = Path(os.environ.get("STRONGROOM_NODE_MODULES", "nowhere"))
SCRIPT = Path(__file__).parent / "node_vault.js"


@pytest.mark.skipif(shutil.which("node") is None, reason="there is no node; install it with: sudo apt-get install nodejs npm")
@pytest.mark.skipif(
    not (MODULES / "node-vault").is_dir(),
    reason="run 'npm install --prefix DIR node-vault', then set STRONGROOM_NODE_MODULES=DIR/node_modules",
)
def test_node_vault_works_unchanged(server: Running, name: str) -> None:
    environment = {**clean_environment(server.directory), "NODE_PATH": str(MODULES)}
    words = ["node", str(SCRIPT), server.address, server.root_token, str(server.ca), name]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "initialized": True,
        "sealed": False,
        "health": True,
        "mounted": True,
        "version": 1,
        "read": {"a": "b"},
        "list": ["app"],
        "missing": 404,
        "policies": True,
        "rules": f'path "{name}/*" {{ capabilities = ["read"] }}',
        "self": sorted(["default", name]),
        "renewed": 600,
        "refused": "1 error occurred:\n\t* permission denied\n\n",
        "revoked": 403,
        "auths": True,
        "login": sorted(["default", name]),
    }
