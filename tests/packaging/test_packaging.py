"""The unit and the image are of this program: what they run, read and wait for exists, and systemd takes the unit."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from strongroom.server.serve import parser
from strongroom.server.workers.supervisor import STOP_SECONDS

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "strongroom.service"
IMAGE = ROOT / "packaging" / "Containerfile"


def settings() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def steps(verb: str) -> list[str]:
    text = re.sub(r"\\\n", " ", IMAGE.read_text())
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith(verb + " ")]


def test_the_unit_runs_a_command_that_there_is() -> None:
    program, verb, *flags = shlex.split(settings()["ExecStart"][0])
    assert (Path(program).name, verb) == ("strongroom", "server")
    assert parser().parse_args(flags).config == ["/etc/strongroom/strongroom.hcl"]


def test_the_unit_waits_for_workers_to_drain_and_signals_the_supervisor_alone() -> None:
    found = settings()
    assert int(found["TimeoutStopSec"][0]) > STOP_SECONDS
    assert found["KillMode"] == ["mixed"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    program = tmp_path / "strongroom"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/strongroom/.venv/bin/strongroom", str(program)))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=30)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_shut_in(tmp_path: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(UNIT)], capture_output=True, text=True, timeout=30
    )
    level = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) < 2.5


def test_the_image_is_made_of_files_that_there_are() -> None:
    sources = [word for step in steps("COPY") if not step.startswith("--from") for word in step.split()[:-1]]
    assert sources and all((ROOT / source).exists() for source in sources)


def test_the_image_installs_by_hash_and_serves_as_nobody_special() -> None:
    installs = [part for step in steps("RUN") for part in step.split("&&") if "pip install" in part]
    assert all("--require-hashes" in part or "--no-deps" in part for part in installs)
    assert steps("USER") == ["8200:8200"]
    (command,) = steps("CMD")
    assert parser().parse_args(["-config=/etc/strongroom"]).config and "-config=/etc/strongroom" in command
