"""What an auditor does with a stopped server's files: verify the audit log, scrub the store.

Rules of this file: it opens the store with the static seal's key, as the server would, and changes nothing.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from strongroom.barrier import scrub as scrubbing
from strongroom.barrier.barrier import Barrier
from strongroom.barrier.seal import stored_config, unwrapped
from strongroom.barrier.seals.static import configured
from strongroom.core.audit.report import Report
from strongroom.core.audit.verify import verify as verify_files
from strongroom.crypto.signatures import DualSigner
from strongroom.sinks.file import worker_paths
from strongroom.storage.sqlite import SqliteStorage
from tests.support.server import ROOT, Server


@contextmanager
def opened(server: Server) -> Iterator[Barrier]:
    """The store of a stopped server, unsealed."""
    storage = SqliteStorage(server.store)
    try:
        barrier = Barrier(storage)
        config, installation = stored_config(storage), barrier.installation()
        assert config is not None
        assert installation is not None
        barrier.unseal(unwrapped(configured({"path": str(server.seal_key)}), config.wraps[0], installation))
        yield barrier
    finally:
        storage.close()


def scrub(server: Server) -> scrubbing.Report:
    """Look at every row."""
    with opened(server) as barrier:
        return scrubbing.scrub(barrier)


def verify(server: Server, *files: Path) -> Report:
    """Hold the audit files against their signatures and chains."""
    with opened(server) as barrier:
        verifier = DualSigner.from_bytes(barrier.keys.keyring.stable.signing).public()
    return verify_files(files or [Path(each) for each in worker_paths(str(server.audit))], [verifier])


def command(server: Server, *words: str) -> subprocess.CompletedProcess[str]:
    """One of the auditor's commands, as he types it; beside a running server too."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    line = [sys.executable, "-m", "strongroom", *words, f"-config={server.config}"]
    return subprocess.run(line, env=environment, capture_output=True, text=True, timeout=60)


def texts(report: scrubbing.Report | Report) -> str:
    """What was found, for a failing test."""
    return "; ".join(getattr(finding, "text", "") or str(finding) for finding in report.findings[:20])
