"""The unit and the image are of this program: what they run, read and wait for exists, and systemd takes the unit."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from strongroom.server.serve import parser
from strongroom.server.workers.supervisor import STOP_SECONDS
from tests.support.server import Server, serving

ROOT = Path(__file__).resolve().parents[2]
UNIT = ROOT / "packaging" / "strongroom.service"
USERS = ROOT / "packaging" / "strongroom.sysusers"
DIRECTORIES = ROOT / "packaging" / "strongroom.tmpfiles"
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


def test_it_serves_under_what_the_unit_takes_away(tmp_path: Path) -> None:
    """TLS, the store, audit and two workers, without capabilities."""
    with serving(tmp_path, entry=("-m", "tests.support.confined_server", "server"), workers=2) as (server, _):
        client = server.client(tls=True)
        assert client.write("secret/data/a", {"data": {"text": "kept"}}).status == 200
        assert client.read("secret/data/a").data["data"] == {"text": "kept"}
        status = Path(f"/proc/{server.children()[0]}/status").read_text()
        assert "CapBnd:\t0000000000000000" in status and "NoNewPrivs:\t1" in status
        assert server.terminate() == 0
    found = settings()
    assert (found["NoNewPrivileges"], found["LimitMEMLOCK"]) == (["yes"], ["infinity"])
    assert found["CapabilityBoundingSet"] == found["AmbientCapabilities"] == [""]


def test_it_would_not_serve_without_writable_code(tmp_path: Path) -> None:
    """Why the unit does not ask for that. When this fails it can; a process that ends so says why."""
    server = Server(tmp_path, entry=("-m", "tests.support.confined_server", "code"), workers=2)
    try:
        server.spawn()
        assert server.process is not None
        assert server.process.wait(20) == 1
        assert "kind=MemoryError" in server.output() and "SSL.py" in server.output()
        assert "MemoryDenyWriteExecute" not in settings()
    finally:
        server.close()


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None or os.getuid() != 0, reason="systemd-tmpfiles is not installed, or not root")
def test_the_user_and_the_directories_are_what_the_unit_needs(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    for program, file in (("systemd-sysusers", USERS), ("systemd-tmpfiles", DIRECTORIES)):
        create = ["--create"] if program == "systemd-tmpfiles" else []
        done = subprocess.run([program, f"--root={tmp_path}", *create, str(file)], capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stderr.replace("Creating group", "").count("rror")) == (0, 0), done.stderr
    user = next(line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines() if line.startswith("strongroom:"))
    assert (user[5], user[6]) == ("/var/lib/strongroom", "/usr/sbin/nologin")
    number, group = int(user[2]), int(user[3])
    assert (settings()["User"], settings()["Group"]) == (["strongroom"], ["strongroom"])
    for path, owner, mode in (("etc", 0, 0o750), ("var/lib", number, 0o700), ("var/log", number, 0o700)):
        made = (tmp_path / path / "strongroom").stat()
        assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (owner, group, mode)


def test_systemd_is_told_by_the_process_that_it_started() -> None:
    found = settings()
    assert (found["Type"], found["NotifyAccess"]) == (["notify"], ["main"])
    assert "AF_UNIX" in found["RestrictAddressFamilies"][0]


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
    assert len([step for step in steps("RUN") if re.search(r"pip uninstall --yes (setuptools )?pip\b", step)]) == 2
    (command,) = steps("CMD")
    assert parser().parse_args(["-config=/etc/strongroom"]).config and "-config=/etc/strongroom" in command
