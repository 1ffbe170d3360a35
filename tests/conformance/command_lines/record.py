"""`python -m tests.conformance.command_lines.record`: give the table to Vault's program and write down what it does.

Rules of this file: `$VAULT_BINARY` names the program; the server is its own, in its development mode.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests.cli.run import Result
from tests.conformance.command_lines.lines import load, outcomes, save
from tests.conformance.recorded.conversation import ROOT
from tests.conformance.recorded.record import development


def main() -> None:
    """Record."""
    program, lines = os.environ["VAULT_BINARY"], load()
    with tempfile.TemporaryDirectory() as folder, development([program]) as client:
        variables = {"PATH": os.environ["PATH"], "HOME": folder, "VAULT_ADDR": f"http://127.0.0.1:{client.port}", "VAULT_TOKEN": ROOT}

        def run(words: list[str], stdin: str) -> Result:
            done = subprocess.run([program, *words], env=variables, cwd=folder, input=stdin, capture_output=True, text=True, check=False)
            return Result(done.returncode, done.stdout, done.stderr)

        for line, (code, out) in zip(lines, outcomes(lines, run, Path(folder)), strict=True):
            line.code, line.out = code, out
    save(lines)


if __name__ == "__main__":
    main()
