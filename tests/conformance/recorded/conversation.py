"""A conversation: requests in a row, and what Vault answered to each.

Rules of this file:
- A conversation is one JSON file, a list of steps. People write `do`, `body` and the like; `record` writes `answer`, from a real server.
- Where strongroom answers otherwise on purpose, `ours` holds its answer and `because` the reason: any other difference fails the test.
- What no two servers have in common is replaced before anything is compared: what was kept under a name (`keep`) by that name, instants,
  ids and tokens by what they are, seconds that run down by the next ten.
- Texts of help pages are not recorded: they are Vault's own prose.
- What is said of a field that holds no value of its type is compared up to the field's name: Vault quotes the value, strongroom never does.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

import msgspec

from tests.support.http import Client, Reply

HERE: Final = Path(__file__).parent / "conversations"
ROOT: Final = "root"
"""The id of the root token on both servers."""
HEADERS: Final = ("Content-Type", "Allow", "Location", "Retry-After")

RUNNING_DOWN: Final = frozenset({"ttl", "lease_duration", "creation_ttl", "wrapping_token_ttl", "secret_id_ttl"})
OF_THE_SERVER: Final = frozenset(
    {
        "request_id",
        "accessor",
        "uuid",
        "id",
        "client_token",
        "entity_id",
        "cluster_id",
        "cluster_name",
        "version",
        "build_date",
        "creation_time",
        "expire_time",
        "last_renewal_time",
        "random_bytes",
        "config_ca_certs",
    }
    | {
        "wrapping_accessor",
        "wrapped_accessor",
        "creation_time_unix",
        "server_time_utc",
        "nonce",
        "otp",
        "deprecation_status",
        "running_plugin_version",
        "last_renewal_time",
    }
)
"""Members whose text differs from server to server; that there is one is compared."""
ALONE: Final = frozenset({"current_metadata_version", "metadata_cas_required", "token_strictly_bind_ip", "callback_mode"})
"""Members of OpenBao's API, which strongroom speaks too, that Vault's answers lack."""
PATTERNS: Final = (
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"), "<time>"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "<uuid>"),
    (re.compile(r"\b(hv|sr)[sbr][._][A-Za-z0-9_-]{20,}"), "<token>"),
    (re.compile(r'(Field validation failed: )?error converting input .*?for field ("\w+").*', re.DOTALL), r"<not a value of \2>"),
)


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came back, made comparable."""

    status: int
    headers: dict[str, str] = {}
    body: Any = None


class Ours(msgspec.Struct, frozen=True):
    """Another answer than Vault's, and why."""

    because: str
    answer: Answer


class Step(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One request. `do` is verb and path, in which `{name}` stands for what was kept; `as` names a kept token, `""` is none."""

    do: str
    body: Any = msgspec.UNSET
    raw: str | None = None
    """A body that is not JSON."""
    headers: dict[str, str] = {}
    token: str = msgspec.field(name="as", default=ROOT)
    keep: dict[str, str] = {}
    """Names for members of the answer: `{"accessor": "auth.accessor"}`."""
    ignore: list[str] = []
    """Members of the answer that are not compared: `["data.token_bound_cidrs"]`."""
    note: str = ""
    answer: Answer | None = None
    ours: Ours | None = None


def load(path: Path) -> list[Step]:
    """Raises msgspec.ValidationError for a member nobody knows."""
    return msgspec.json.decode(path.read_bytes(), type=list[Step])


def save(path: Path, steps: list[Step]) -> None:
    """A step a line, so that what changed can be seen."""
    lines = ",\n".join("  " + json.dumps(msgspec.to_builtins(step), ensure_ascii=False) for step in steps)
    path.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


class Conversation:
    """Steps held with one server, and what was kept of its answers."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._kept: dict[str, str] = {}

    def hold(self, step: Step) -> Answer:
        """Ask, and keep what the step names. Raises LookupError when the answer has no such member."""
        verb, _, path = self._filled(step.do).partition(" ")
        body = step.raw.encode() if step.raw is not None else None if step.body is msgspec.UNSET else self._filled_all(step.body)
        headers = {name: self._filled(value) for name, value in step.headers.items()}
        token = self._kept.get(step.token, step.token)
        reply = self._client.ask(verb, path, body, token=token, **headers)
        found = _decoded(reply)
        for name, where in step.keep.items():
            try:
                self._kept[name] = str(_member(found, where))
            except (KeyError, IndexError, TypeError):
                raise LookupError(f"{step.do}: no {where} to be kept in {reply.text}") from None
        headers = {name: value for name in HEADERS if reply.body and (value := reply.headers.get(name.lower()))}
        return Answer(reply.status, headers, self._plain(found, frozenset(step.ignore)))

    def _filled(self, text: str) -> str:
        for name, value in self._kept.items():
            text = text.replace("{" + name + "}", value)
        return text

    def _filled_all(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._filled(value)
        if isinstance(value, list):
            return [self._filled_all(item) for item in value]
        if isinstance(value, dict):
            return {self._filled(name): self._filled_all(item) for name, item in value.items()}
        return value

    def _plain(self, value: Any, ignored: frozenset[str], at: str = "") -> Any:
        name = at.rpartition(".")[2]
        if at in ignored:
            return "<ignored>"
        if isinstance(value, dict):
            return {
                self._text(key): self._plain(value[key], ignored, f"{at}.{key}".lstrip(".")) for key in sorted(value) if key not in ALONE
            }
        if isinstance(value, list):
            return [self._plain(item, ignored, at) for item in value]
        if value and name in OF_THE_SERVER and not (name == "version" and isinstance(value, int)):
            return f"<{name}>"
        if name in RUNNING_DOWN and isinstance(value, int) and value > 10:
            return -(-value // 10) * 10
        return self._text(value) if isinstance(value, str) else value

    def _text(self, value: str) -> str:
        for name, kept in self._kept.items():
            if kept:
                value = value.replace(kept, "{" + name + "}")
        for pattern, stands in PATTERNS:
            value = pattern.sub(stands, value)
        return value


def _decoded(reply: Reply) -> Any:
    try:
        return json.loads(reply.body) if reply.body else None
    except ValueError:
        return reply.body.decode(errors="replace")


def _member(value: Any, where: str) -> Any:
    for name in where.split("."):
        value = value[int(name) if isinstance(value, list) else name]
    return value


def differences(expected: Any, found: Any, at: str = "") -> list[str]:
    """Every member that is not the same, as `where: expected … found …`."""
    if "<ignored>" in (expected, found):
        return []
    if isinstance(expected, dict) and isinstance(found, dict):
        return [
            line
            for name in sorted({*expected, *found})
            for line in differences(expected.get(name, "<absent>"), found.get(name, "<absent>"), f"{at}.{name}".lstrip("."))
        ]
    return [] if expected == found and type(expected) is type(found) else [f"{at}: expected {expected!r}, found {found!r}"]
