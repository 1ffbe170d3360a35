"""What holds for every command: imports, exit codes, the token file, hand-over to the server's commands."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from strongroom.cli import verbs
from strongroom.cli.command import GLOBAL_FLAGS, Command
from strongroom.cli.commands import completion
from strongroom.cli.main import main
from tests.cli.run import SOURCE, Runner, fresh, runner
from tests.client.certificates import make_authority, make_certificate
from tests.client.scripted import answer, serve

__all__ = ["runner"]

MOUNT = answer(200, {"data": {"path": "secret/", "options": {"version": "2"}}})
SECRET = answer(200, {"data": {"data": {"a": "b"}, "metadata": {"version": 1}}})
TOKEN = "srs_not_to_be_seen"

FORBIDDEN = (
    "argparse asyncio cffi click cryptography dataclasses email getpass http httpx inspect logging msgspec OpenSSL pathlib requests rich "
    "structlog subprocess tempfile urllib urllib3 uuid uvloop yaml importlib.metadata concurrent multiprocessing difflib decimal datetime "
    "strongroom.server strongroom.core strongroom.crypto strongroom.cli.usage strongroom.cli.yaml strongroom.cli.mounts strongroom.clock"
).split()
ALLOWED_COMMANDS = {"strongroom.cli.commands", "strongroom.cli.commands.kv"}
PROGRAM = """
import sys
from strongroom.cli.main import main
code = main(sys.argv[1:])
print("|".join(sorted(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def loaded_by(*words: str, environment: dict[str, str]) -> set[str]:
    result = fresh(PROGRAM, *words, environment=environment)
    assert result.returncode == 0, result.stderr
    return set(result.stderr.strip().splitlines()[-1].split("|"))


def offenders(modules: set[str]) -> set[str]:
    commands = {name for name in modules if name.startswith("strongroom.cli.commands")}
    return {name for name in FORBIDDEN if name in modules} | (commands - ALLOWED_COMMANDS)


def test_kv_get_imports_nothing_heavy() -> None:
    with serve(MOUNT, SECRET) as server:
        modules = loaded_by("kv", "get", "secret/a", environment={"VAULT_ADDR": server.address, "VAULT_TOKEN": TOKEN})
    assert "strongroom.cli.commands.kv" in modules
    assert "ssl" not in modules
    assert not offenders(modules)


def test_kv_get_over_tls_imports_ssl_and_nothing_heavy(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    with serve(MOUNT, SECRET, tls=make_certificate(tmp_path, authority, "127.0.0.1")) as server:
        environment = {"VAULT_ADDR": server.address, "VAULT_CACERT": str(authority.path)}
        modules = loaded_by("kv", "get", "-format=json", "secret/a", environment=environment)
    assert "ssl" in modules
    assert not offenders(modules)


def test_the_import_check_finds_what_it_is_for() -> None:
    """The negative control: help loads the usage module and every other command of its group."""
    assert offenders(loaded_by("kv", "-help", environment={})) >= {"strongroom.cli.usage"}


def test_a_refused_connection_exits_2_and_names_address_and_variable(runner: Runner) -> None:
    runner.set({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": TOKEN})
    result = runner("kv", "get", "secret/a")
    assert (result.code, result.out) == (2, "")
    assert "http://127.0.0.1:1" in result.err
    assert "VAULT_ADDR" in result.err
    assert TOKEN not in result.err


def test_status_exits_1_where_nothing_answers_because_2_means_sealed(runner: Runner) -> None:
    runner.set({"VAULT_ADDR": "http://127.0.0.1:1"})
    result = runner("status")
    assert (result.code, result.out) == (1, "")
    assert "VAULT_ADDR" in result.err


def test_an_unknown_authority_names_the_flag_and_what_up_printed(runner: Runner, tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    with serve(MOUNT, tls=make_certificate(tmp_path, authority, "127.0.0.1")) as server:
        runner.set({"VAULT_ADDR": server.address, "STRONGROOM_DATA": str(tmp_path)})
        result = runner("status")
    assert result.code == 1
    assert "-ca-cert" in result.err
    assert f"CA certificate: {authority.path}" in result.err


def test_a_bad_token_in_the_environment_is_not_shown(runner: Runner) -> None:
    runner.set({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": f"{TOKEN}\nX: y"})
    result = runner("read", "a")
    assert result.code == 1
    assert TOKEN not in result.err + result.out


def test_without_a_token_a_403_says_how_to_get_one(runner: Runner) -> None:
    with serve(answer(403, {"errors": ["permission denied"]})) as server:
        runner.set({"VAULT_ADDR": server.address})
        result = runner("read", "a")
    assert result.code == 2
    assert "strongroom login" in result.err


def test_login_keeps_the_token_private_and_the_next_command_uses_it(runner: Runner) -> None:
    lookup = answer(200, {"data": {"id": TOKEN, "policies": ["default"], "ttl": 60}})
    with serve(lookup, answer(200, {"data": {"a": "b"}})) as server:
        runner.set({"VAULT_ADDR": server.address})
        (runner.home / ".vault-token").write_text("old, and readable by all")
        (runner.home / ".vault-token").chmod(0o644)
        assert runner("login", "-", stdin=f"{TOKEN}\n").code == 0
        assert runner("read", "-field=a", "x").out == "b"
    file = runner.home / ".vault-token"
    assert (file.read_text(), file.stat().st_mode & 0o777) == (TOKEN, 0o600)
    assert [path.name for path in runner.home.iterdir()] == [".vault-token"]
    assert [asked.headers["x-vault-token"] for asked in server.asked] == [TOKEN, TOKEN]


def test_vault_token_wins_over_the_file_and_the_flag_over_the_environment(runner: Runner) -> None:
    (runner.home / ".vault-token").write_text("srs_from_the_file\n")
    with serve(*[answer(204)] * 2) as server:
        runner.set({"VAULT_ADDR": "http://127.0.0.1:1"})
        runner("delete", f"-address={server.address}", "a")
        runner.set({"VAULT_TOKEN": TOKEN})
        runner("delete", "-address", server.address, "a")
    assert [asked.headers["x-vault-token"] for asked in server.asked] == ["srs_from_the_file", TOKEN]


def test_the_command_line_tries_once_unless_told_otherwise(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("strongroom.client.client.BACKOFF", (0.0,))
    for retries, times in (({}, 1), ({"VAULT_MAX_RETRIES": "2"}, 3)):
        with serve(*[answer(500, {"errors": ["x"]})] * 3) as server:
            runner.set({"VAULT_ADDR": server.address, **retries})
            assert runner("read", "a").code == 2
        assert len(server.asked) == times


def test_a_namespace_header_and_own_headers_are_sent(runner: Runner) -> None:
    with serve(answer(204)) as server:
        runner.set({"VAULT_ADDR": server.address})
        runner("delete", "-ns=team", "-header", "X-Own=1", "-header=X-Two=2", "-mfa=id:123", "a")
    sent = server.asked[0].headers
    assert {"x-vault-namespace": "team", "x-own": "1", "x-two": "2", "x-vault-mfa": "id:123"}.items() <= sent.items()


@pytest.mark.parametrize(
    "words", [["server", "-dev", "-help"], ["up"], ["help", "up"], ["operator", "scrub", "-x"], ["audit", "verify", "file"]]
)
def test_server_side_commands_get_their_own_words(runner: Runner, monkeypatch: pytest.MonkeyPatch, words: list[str]) -> None:
    called: list[tuple[str, list[str]]] = []

    def run(verb: str, argv: list[str]) -> int:
        called.append((verb, argv))
        return 7

    stand_in = ModuleType("strongroom.server.commands")
    stand_in.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "strongroom.server.commands", stand_in)
    assert runner(*words).code == 7
    if words[0] == "help":
        words = [*words[1:], "-help"]
    name = next(name for name in verbs.SERVER_COMMANDS if words[: len(name.split())] == name.split())
    assert called == [(name, words[len(name.split()) :])]


def commands() -> list[Command]:
    return completion.all_commands()


@pytest.mark.parametrize("command", commands(), ids=[command.name for command in commands()])
def test_every_command_explains_itself_and_its_flags_do_not_clash(command: Command, runner: Runner) -> None:
    result = runner(*command.name.split(), "-help")
    assert result.code == 0
    assert command.summary
    assert result.out.startswith(f"Usage: strongroom {command.name}")
    names = [name for flag in (*command.flags, *GLOBAL_FLAGS) for name in (flag.name, *flag.aliases)]
    assert len(names) == len(set(names))
    assert all(flag.help for flag in command.flags)


@pytest.mark.parametrize("name", [*verbs.VERBS, "help", "-h"])
def test_every_verb_has_help(name: str, runner: Runner) -> None:
    result = runner(*name.split(), "-help")
    assert result.code == 0
    assert result.out.startswith("Usage: strongroom")


def test_every_command_is_found_by_its_name() -> None:
    assert {" ".join(command.name.split()[:1]) for command in commands()} <= {verb.split()[0] for verb in verbs.VERBS}
    assert len({command.name for command in commands()}) == len(commands())


def test_completion_knows_every_command_and_flag() -> None:
    follow = completion.next_words()
    assert {"kv", "server", "operator"} <= set(follow[""])
    assert {"get", "put", "metadata"} <= set(follow["kv"])
    assert {"scrub", "rekey", "init"} <= set(follow["operator"])
    assert {"-mount", "-version", "-format", "-address"} <= set(follow["kv get"])


def test_the_bash_script_completes_sub_commands_flags_and_nothing_wrong(tmp_path: Path) -> None:
    script = tmp_path / "completion.bash"
    script.write_text(completion.bash())
    bash = shutil.which("bash")
    assert bash is not None
    for typed, expected in (
        ("kv metadata ", {"get", "put", "patch", "delete"}),
        ("kv get secret/a -fiel", {"-field"}),
        ("opera", {"operator"}),
    ):
        words = ["strongroom", *typed.split(" ")]
        quoted = " ".join(f"'{word}'" for word in words)
        program = f'. {script}; COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _strongroom; printf "%s\\n" "${{COMPREPLY[@]}}"'
        printed = subprocess.run([bash, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert set(printed.stdout.split()) == expected


def test_a_curl_string_is_one_shell_command_with_the_body_intact(runner: Runner) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    runner.set({"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_TOKEN": TOKEN})
    value = 'it\'s $HOME `id` "q" \\ ü'
    printed = runner("write", "-output-curl-string", "secret/a b", f"k={value}").out
    assert TOKEN not in printed
    program = f'strongroom() {{ echo "<$*>"; }}; curl() {{ printf "%s\\0" "$@"; }}; {printed}'
    words = subprocess.run([shell, "-c", program], capture_output=True, text=True, check=True).stdout.split("\0")
    assert json.loads(words[words.index("-d") + 1]) == {"k": value}
    assert "X-Vault-Token: <print token>" in words
    assert words[-2] == "http://127.0.0.1:1/v1/secret/a%20b"


def test_output_cut_off_by_a_pipe_is_no_traceback() -> None:
    closed_pipe = "import os\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
    result = fresh(closed_pipe + PROGRAM, "help", environment={})
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "Exception" not in result.stderr


@pytest.mark.parametrize(
    ("stream", "words", "code", "said"),
    [
        ("0<&-", "read a", 0, ""),
        ("0<&-", "write a b=-", 1, "standard input is closed"),
        ("0<&-", "operator unseal", 1, "standard input is closed"),
        ("0</dev/null", "operator unseal", 1, "no Unseal Key was given"),
        (">&-", "read a", 0, ""),
        ("2>&-", "read -nonsense", 1, ""),
        (">/dev/full", "read a", 1, "cannot be written: No space left on device"),
        (">/dev/full", "read -format=raw a", 1, "cannot be written: No space left on device"),
    ],
)
def test_streams_that_are_closed_or_full_are_no_traceback(stream: str, words: str, code: int, said: str) -> None:
    shell = shutil.which("sh")
    assert shell is not None
    with serve(answer(200, {"data": {"a": "b" * 100_000}})) as server:
        variables = {"PYTHONPATH": str(SOURCE), "VAULT_ADDR": server.address, "VAULT_TOKEN": TOKEN}
        command = f'"{sys.executable}" -m strongroom.cli {words} {stream}'
        result = subprocess.run([shell, "-c", command], env=variables, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == code, result
    assert "Traceback" not in result.stderr and "Exception" not in result.stderr
    assert said in result.stderr
    assert not (stream == "2>&-" and result.stdout), "what belongs to standard error must not appear as a result"


def test_the_end_of_input_at_a_question_is_no_traceback(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Control and D at a terminal: getpass then raises EOFError."""
    monkeypatch.setattr("getpass.getpass", _nothing_typed)
    monkeypatch.setattr("strongroom.cli.session._standard_input", _Terminal)
    result = runner("login")
    assert (result.code, result.out) == (1, "")
    assert "no Token was given" in result.err


class _Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def _nothing_typed(prompt: str, stream: object) -> str:
    raise EOFError


@pytest.mark.parametrize(("name", "begins"), [("/usr/bin/strongroom", "strongroom 0."), ("/usr/bin/vault", "Vault v1.18.0 (strongroom 0.")])
def test_by_the_name_of_vault_it_says_which_vault_it_speaks_as(
    name: str, begins: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs that find a vault in the path ask its version and decide by the second word."""
    monkeypatch.setattr(sys, "argv", [name, "-version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith(begins)
