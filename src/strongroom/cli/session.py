"""One invocation of a command: its flags and arguments, the client it talks through, and the terminal.

Rules of this file:
- Flags win over the environment, VAULT_TOKEN wins over the stored token; without VAULT_MAX_RETRIES the command line tries once.
- Results go to standard output, everything else to standard error; only the table format is talkative.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import BinaryIO, NoReturn

from strongroom.cli import data, output, tokenstore
from strongroom.cli.errors import LOCAL, SUCCESS, CommandError, Done, UsageError
from strongroom.cli.flags import Flags
from strongroom.client import values
from strongroom.client.client import Answer, Client, Prepared
from strongroom.client.errors import Refused
from strongroom.client.settings import Settings, from_environment, variable
from strongroom.client.values import Json, Object

_SETTING_FLAGS = {
    "address": "address",
    "ca-cert": "ca_cert",
    "ca-path": "ca_path",
    "client-cert": "client_cert",
    "client-key": "client_key",
    "tls-server-name": "server_name",
    "namespace": "namespace",
    "wrap-ttl": "wrap_ttl",
}


class Session:
    """What a command function gets."""

    def __init__(self, flags: Flags, arguments: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.flags = flags
        self.arguments = arguments
        self.environment = os.environ if environment is None else environment
        self.sources = data.Sources(lambda: _standard_input().read())
        self.format = flags.text("format") or variable("FORMAT", self.environment) or "table"
        if self.format not in output.FORMATS:
            raise UsageError(f"VAULT_FORMAT must be one of: {', '.join(output.FORMATS)}")
        self._client: Client | None = None

    @property
    def client(self) -> Client:
        """The client these flags and this environment describe, made when first used."""
        if self._client is None:
            self._client = Client(self.settings(), before=self._before)
        return self._client

    @property
    def is_table(self) -> bool:
        """Whether people rather than programs read the output."""
        return self.format == "table"

    def close(self) -> None:
        """Let the connection go."""
        if self._client is not None:
            self._client.close()

    def settings(self) -> Settings:
        """Environment, then flags, then the stored token."""
        settings = from_environment(self.environment)
        for flag, field in _SETTING_FLAGS.items():
            if self.flags.given(flag):
                settings = settings._replace(**{field: self.flags.text(flag)})  # type: ignore[arg-type]  # the table holds texts only
        skip = self.flags.switch("tls-skip-verify", settings.skip_verify)
        retries = settings.max_retries if variable("MAX_RETRIES", self.environment) else 0
        headers = (*self.flags.pairs("header").items(), *(("X-Vault-MFA", value) for value in self.flags.many("mfa")))
        token = settings.token or tokenstore.read(self.environment)
        return settings._replace(skip_verify=skip, max_retries=retries, headers=tuple(headers), token=token)

    # --- output -------------------------------------------------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """A line for standard output."""
        print(text)

    def note(self, text: str) -> None:
        """A line for standard error."""
        print(output.clean(text), file=sys.stderr)

    def done(self, text: str) -> int:
        """Say that it worked, where a person reads it."""
        if self.is_table:
            self.say(output.clean(text))
        return SUCCESS

    def show(self, answer: Answer, nothing: str = "") -> int:
        """Print an answer in the format asked for; `nothing` is said if it has no content."""
        if not answer.content:
            return self.done(nothing) if nothing else SUCCESS
        if self.flags.given("field"):
            return self.show_field(output.answer_field(answer, self.flags.text("field")))
        if self.format == "raw":
            sys.stdout.buffer.write(answer.content)
            return SUCCESS
        if not self.is_table:
            from strongroom.cli import envelope

            return self.show_value(envelope.shown(answer))
        self.warn(answer)
        shown = output.answer_table(answer)
        return self.done(shown or nothing) if shown or nothing else SUCCESS

    def show_data(self, shown: Object) -> int:
        """Print an object: as a table, whole in another format, or one field of it."""
        if self.flags.given("field"):
            return self.show_field(output.pick(shown, self.flags.text("field")))
        return self.done(output.data_table(shown)) if self.is_table else self.show_value(shown)

    def show_rows(self, rows: Sequence[Sequence[str]], heading: tuple[str, ...], whole: Json) -> int:
        """Print a table of several columns; other formats and -field get `whole`."""
        if self.flags.given("field"):
            return self.show_field(output.pick(values.mapping(whole), self.flags.text("field")))
        if not self.is_table:
            return self.show_value(whole)
        self.say(output.table(rows, heading))
        return SUCCESS

    def show_list(self, path: str) -> int:
        """List what is below an API path; nothing there is exit 2, and `{}` for a program."""
        try:
            answer = found(lambda: self.client.list(path), path)
        except (CommandError, Refused) as error:
            if not self.is_table and (isinstance(error, CommandError) or error.status == 404):
                self.show_value({})
            raise
        if answer.wrap_info:
            return self.show(answer)
        self.warn(answer)
        if isinstance(answer.data.get("keys"), list):
            return self.show_keys(values.texts(answer.data.get("keys")))
        if not self.is_table:
            self.show_value({})
        raise CommandError(f"No entries found at {path}")

    def show_keys(self, keys: Iterable[str], heading: str = "Keys") -> int:
        """Print names, one a line."""
        names = list(keys)
        if not self.is_table:
            return self.show_value([*names])
        self.say(output.listing(names, heading))
        return SUCCESS

    def show_value(self, value: Json) -> int:
        """Print a value as JSON or YAML; a table's reader gets JSON."""
        if self.format == "yaml":
            from strongroom.cli import yaml

            self.say(yaml.dump(value))
        else:
            self.say(values.encode(value, "  "))
        return SUCCESS

    def show_field(self, value: Json) -> int:
        """Print a value alone; with a line end only where a person looks at it."""
        if self.format in ("json", "yaml"):
            return self.show_value(value)
        print(output.field(value), end="\n" if sys.stdout.isatty() else "")
        return SUCCESS

    def warn(self, answer: Answer) -> None:
        """Print the server's warnings."""
        if answer.warnings:
            self.note("\n".join(["WARNING! The server says:", "", *(f"  * {warning}" for warning in answer.warnings), ""]))

    # --- input --------------------------------------------------------------------------------------------------------------------

    def ask_secret(self, prompt: str) -> str:
        """Ask for something that is not shown while typed; from a pipe, take its next line."""
        if self.flags.switch("non-interactive"):
            raise CommandError(f"{prompt} is needed, and -non-interactive forbids asking", LOCAL)
        try:
            return self._asked(prompt)
        except EOFError:
            raise CommandError(f"no {prompt} was given: there was nothing to read on standard input", LOCAL) from None

    def _asked(self, prompt: str) -> str:
        source = _standard_input()
        if not source.isatty():
            line = source.readline()
            if not line:
                raise EOFError
            return data.utf8(line, prompt).strip("\r\n")
        from getpass import getpass

        return getpass(f"{prompt} (will be hidden): ", sys.stderr)

    def data(self, words: list[str]) -> Object:
        """`key=value` arguments as an object."""
        return data.parse(words, self.sources)

    def write_file(self, path: str, text: str) -> None:
        """Replace a file's content. Raises CommandError."""
        try:
            with open(path, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123  pathlib would cost the CLI 4 ms
                file.write(text)
        except OSError as error:
            raise CommandError(f"the file {path} cannot be written: {error.strerror}", LOCAL) from None

    def _before(self, prepared: Prepared) -> None:
        if self.flags.switch("output-curl-string"):
            from strongroom.client import curl

            self._instead(curl.command(prepared, self.client.settings, self.client.address.socket_path))
        if self.flags.switch("output-policy"):
            self._instead(f'path "{prepared.path}" {{\n  capabilities = [{_capabilities(prepared)}]\n}}')

    def _instead(self, text: str) -> NoReturn:
        self.say(text)
        raise Done


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise CommandError("standard input is closed, and something is to be read from it", LOCAL)
    return sys.stdin.buffer


def found(ask: Callable[[], Answer], path: str, hint: str = "") -> Answer:
    """The answer of `ask`; a 404 without a message becomes Vault's "No value found". Raises CommandError, Refused."""
    try:
        return ask()
    except Refused as error:
        if error.status == 404 and not error.messages:
            raise CommandError(f"No value found at {path}{hint}") from None
        raise


def _capabilities(prepared: Prepared) -> str:
    if prepared.method == "GET":
        return '"list"' if prepared.target.endswith("?list=true") else '"read"'
    return {"PATCH": '"patch"', "DELETE": '"delete"'}.get(prepared.method, '"create", "update"')
