"""The entry point: find the command, parse its words, run it, turn what went wrong into text and an exit code.

Rules of this file:
- Exit codes are Vault's: 0 done, 1 a fault on this side (usage, files, settings), 2 the server refused, has nothing, or was not reached,
  127 there is no such command.
- Whatever became of the three standard streams (closed, full, cut off), the user reads a sentence and no traceback.
- Nothing is imported before it is needed: `kv get` must not cost more than a few bare interpreter starts.
- Errors say what, why and what next, and never show a token or a value from the command line.
"""

from __future__ import annotations

import io
import os
import sys

from strongroom.cli import verbs
from strongroom.cli.command import GLOBAL_FLAGS, Command
from strongroom.cli.errors import INTERRUPTED, LOCAL, REMOTE, SUCCESS, UNKNOWN, CommandError, Done, UsageError
from strongroom.cli.flags import parse
from strongroom.cli.output import clean
from strongroom.client.errors import BadSettings, ClientError, Refused

_HELP = ("-h", "-help", "--help", "--h")
_VERSION = ("-v", "-version", "--version")


def main(argv: list[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    _prepare_streams()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
    except BrokenPipeError:
        return _give_up_output()
    except OSError as error:  # those of files and sockets have become messages where they arose
        _fail(f"the output cannot be written: {error.strerror}")
        return _give_up_output()
    except KeyboardInterrupt:
        return INTERRUPTED
    return code


def _prepare_streams() -> None:
    if sys.stdout is None:  # closed by the caller: what is printed goes nowhere, and no socket gets descriptor 1
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115  pathlib would cost 4 ms; it lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _give_up_output() -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # so that the interpreter's own flush at exit has somewhere to go
    return LOCAL


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in (*_HELP, "help"):
        return _print_help([word for word in words[1:] if word not in _HELP])
    if words[0] in _VERSION:
        words = ["version"]
    code = verbs.run_server_command(words)
    if code is not None:
        return code
    found = _find(words)
    if found is None:
        return _not_a_command(words)
    return _run(found, words[len(found.name.split()) :])


def _find(words: list[str]) -> Command | None:
    verb = verbs.owner(words)
    named = [command for command in verbs.load(verb) if command.name.split() == words[: len(command.name.split())]] if verb else []
    return max(named, key=lambda command: len(command.name), default=None)


def _run(command: Command, words: list[str]) -> int:
    if any(word in _HELP for word in _before_end(words)):
        return _print_help(command.name.split())
    try:
        return _execute(command, words)
    except Done:
        return SUCCESS
    except UsageError as error:
        usage = f"Usage: strongroom {command.name} [flags] {command.arguments}".rstrip()
        return _fail(f"{clean(str(error))}\n\n{usage}\nHelp: strongroom {command.name} -help")
    except CommandError as error:
        return _fail(clean(str(error)), error.code)
    except Refused as error:
        return _fail(f"Error making API request.\n\n{clean(str(error))}{_advice(error)}", REMOTE)
    except ClientError as error:
        return _fail(clean(" ".join(error.messages)), LOCAL if isinstance(error, BadSettings) else REMOTE)


def _execute(command: Command, words: list[str]) -> int:
    from strongroom.cli.session import Session

    flags, arguments = parse(words, (*command.flags, *GLOBAL_FLAGS))
    _check_count(command, len(arguments))
    session = Session(flags, arguments)
    try:
        return command.run(session)
    finally:
        session.close()


def _check_count(command: Command, given: int) -> None:
    if given < command.least:
        raise UsageError(f"not enough arguments (expected {command.least}, got {given}): it takes {command.arguments}")
    if given > command.most:
        raise UsageError(f"too many arguments (expected {command.most}, got {given}): one that holds blanks wants quotes")


def _advice(error: Refused) -> str:
    said = " ".join(error.messages).lower()
    if error.status == 403 and not error.token_sent:
        return "\n\nNo token was sent: run 'strongroom login' or set VAULT_TOKEN."
    if error.status == 403 and "preflight" in said:
        return "\n\nThere may be no such mount ('strongroom secrets list'), or the token may not use it ('strongroom token lookup')."
    if error.status == 403:
        return "\n\nThe token may be expired ('strongroom token lookup') or lack a policy ('strongroom token capabilities PATH')."
    if error.status == 503 and "sealed" in said:
        return "\n\nUnseal it with 'strongroom operator unseal'; 'strongroom status' shows the progress."
    if "not initialized" in said:
        return "\n\nInitialise it with 'strongroom operator init'."
    return "\n\nThere is nothing at that path." if error.status == 404 and not said else ""


def _before_end(words: list[str]) -> list[str]:
    return words[: words.index("--")] if "--" in words else words


def _fail(text: str, code: int = LOCAL) -> int:
    print(text, file=sys.stderr)
    return code


def _print_help(words: list[str]) -> int:
    from strongroom.cli import usage

    found = _find(words) if words else None
    if found is not None:
        print(usage.command(found))
    elif " ".join(words) in verbs.VERBS:
        print(usage.group(" ".join(words)))
    elif words:
        handed_over = verbs.run_server_command([*words, "-help"])
        return _not_a_command(words) if handed_over is None else handed_over
    else:
        print(usage.overview())
    return SUCCESS


def _not_a_command(words: list[str]) -> int:
    from strongroom.cli import unknown, usage

    verb = verbs.owner(words)
    rest = words[len(verb.split()) :]
    if verb and not rest:
        return _fail(usage.group(verb))
    if rest[0] in _HELP:
        return _print_help(verb.split())
    return _fail(
        clean(unknown.no_such(verb, rest[0].partition("=")[0], usage.next_words(verb))),
        LOCAL if verb or rest[0].startswith("-") else UNKNOWN,
    )
