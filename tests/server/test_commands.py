"""`strongroom server` and `strongroom up` from the outside: what is refused, and that a failed start leaves nothing behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ROOT, free_port


def strongroom(home: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOME": str(home), **variables}
    return subprocess.run(
        [sys.executable, "-m", "strongroom", *words], env=environment, cwd=home, capture_output=True, text=True, timeout=30
    )


def listening() -> socket.socket:
    return socket.create_server(("127.0.0.1", 0))


@pytest.mark.parametrize("words", [("server",), ("up",), ("operator", "scrub"), ("operator", "snapshot", "save"), ("audit", "verify")])
@pytest.mark.parametrize("word", ["-h", "-help", "--help"])
def test_help_is_asked_for_as_of_every_other_command(tmp_path: Path, words: tuple[str, ...], word: str) -> None:
    result = strongroom(tmp_path, *words, word)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"usage: strongroom {' '.join(words)}")


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("server",), "say which configuration to use"),
        (("server", "-config=nowhere.hcl"), "the configuration nowhere.hcl cannot be read: No such file or directory; check its path"),
        (("server", "-dev", "-workers=2"), "what is in memory is one process's alone"),
        (("server", "-dev", "-workers=65"), "-workers takes 1 to 64"),
        (("server", "-dev", "-log-level=loud"), "log_level is one of"),
        (("server", "-dev", "-log-format=xml"), "log_format is standard or json"),
        (("server", "-dev", "-dev-listen-address=nowhere"), "is not host:port"),
        (("up", "-log-level=loud"), "log_level is one of"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_one(tmp_path: Path, words: tuple[str, ...], what: str) -> None:
    done = strongroom(tmp_path, *words)
    assert done.returncode == 1
    assert what in done.stderr
    assert "Traceback" not in done.stderr


def test_a_dev_server_whose_port_is_taken_shows_and_keeps_no_token(tmp_path: Path) -> None:
    kept = tmp_path / ".vault-token"
    kept.write_text("of another server")
    with listening() as taken:
        done = strongroom(tmp_path, "server", "-dev", f"-dev-listen-address=127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 1
    assert "choose another address" in done.stderr
    assert "Root Token" not in done.stdout
    assert kept.read_text() == "of another server"


def test_a_server_that_cannot_listen_does_not_unseal(tmp_path: Path) -> None:
    with listening() as taken:
        port = taken.getsockname()[1]
        config = tmp_path / "config.hcl"
        config.write_text(
            f'storage "sqlite" {{ path = "store" }}\nlistener "tcp" {{\n address = "127.0.0.1:{port}"\n tls_disable = true\n}}\n'
        )
        done = strongroom(tmp_path, "server", f"-config={config}")
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr


def test_up_on_a_directory_that_another_up_serves_says_so(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT / "src"),
        "HOME": str(tmp_path),
        "STRONGROOM_DATA": str(tmp_path / "data"),
    }
    first = subprocess.Popen(
        [sys.executable, "-m", "strongroom", "up", f"-port={free_port()}"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert first.stdout is not None
        token = next(line for line in first.stdout if line.startswith("Root token: ")).split()[-1]
        second = strongroom(tmp_path, "up", f"-port={free_port()}", STRONGROOM_DATA=str(tmp_path / "data"))
        assert second.returncode == 1
        assert "another strongroom server is using" in second.stderr
    finally:
        first.terminate()
        _, logged = first.communicate(timeout=30)
    assert first.returncode == 0
    assert token not in logged, "the root token is shown, not logged"
    assert "hardened" in logged
