"""How answers look: Vault's tables, JSON, YAML, or one field.

Rules of this file:
- Pure: values in, text out. Column widths, headings, `<nil>`, `n/a` and `map[…]` are as Vault's scripts expect them.
- Tables replace control characters, so that a stored value cannot drive the terminal; `-field`, JSON and YAML are exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from strongroom.cli.errors import LOCAL, CommandError
from strongroom.client import values
from strongroom.client.client import Answer
from strongroom.client.values import Json, Object

FORMATS = ("table", "json", "yaml", "raw")
GAP = "    "
_ENDLESS = "∞"
_DURATIONS = ("ttl", "period", "duration", "lease_max", "ttl_max")
_DURATION_ENDS = ("_ttl", "_period", "_duration")


def table(rows: Sequence[Sequence[str]], heading: Sequence[str] = ("Key", "Value")) -> str:
    """Columns under underlined headings; the last column is not padded, an empty cell is n/a."""
    cells = [list(heading), ["-" * len(word) for word in heading], *[[clean(cell) or "n/a" for cell in row] for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heading))]
    return "\n".join(GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)


def plain(rows: Iterable[tuple[str, str]]) -> str:
    """Two columns without headings."""
    pairs = list(rows)
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name.ljust(width)}{GAP}{clean(value)}".rstrip() for name, value in pairs)


def listing(keys: Iterable[str], heading: str = "Keys") -> str:
    """One name a line under a heading."""
    return "\n".join([heading, "-" * len(heading), *(clean(key) for key in keys)])


def data_table(data: Mapping[str, Json]) -> str:
    """An object as Key and Value, sorted; what is named like a duration is shown as one."""
    return table([(key, duration(value) if _is_duration(key) else cell(value)) for key, value in sorted(data.items())])


def banner(title: str, data: Mapping[str, Json]) -> str:
    """`====== Title ======` as wide as the table of `data` below it."""
    return padded(title, max((len(key) for key in data), default=0) + len(GAP) + len("Value"))


def padded(title: str, width: int) -> str:
    """`== Title ==` of at least this width."""
    signs = width - len(title) - 2
    signs = 4 if signs <= 0 else signs + signs % 2
    side = "=" * (signs // 2)
    return f"{side} {title} {side}"


def cell(value: Json) -> str:
    """A value in a table, as Go prints it."""
    if value is None or isinstance(value, bool):
        return {None: "<nil>", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return f"map[{' '.join(f'{key}:{cell(item)}' for key, item in sorted(value.items()))}]"
    return f"[{' '.join(cell(item) for item in value)}]" if isinstance(value, list) else str(value)


def field(value: Json) -> str:
    """A value printed alone: texts as they are, the rest as in a table; JSON is what `-format=json` is for."""
    return value if isinstance(value, str) else cell(value)


def duration(value: Json) -> str:
    """Seconds as `1h30m`; what is not a whole number is shown as it is."""
    if not isinstance(value, int) or isinstance(value, bool):
        return cell(value)
    hours, rest = divmod(abs(value), 3600)
    minutes, seconds = divmod(rest, 60)
    parts = [f"{amount}{unit}" for amount, unit in ((hours, "h"), (minutes, "m"), (seconds, "s"))]
    first = next((index for index, amount in enumerate((hours, minutes, seconds)) if amount), 2)
    while len(parts) > first + 1 and parts[-1][:-1] == "0":
        parts.pop()
    return ("-" if value < 0 else "") + "".join(parts[first:])


def day_and_time(instant: str) -> str:
    """An instant (RFC 3339) as Vault's key-status writes it (RFC 822); anything else as it is."""
    from datetime import datetime

    try:
        return datetime.fromisoformat(instant[:19]).strftime("%d %b %y %H:%M UTC") if instant.endswith("Z") else instant
    except ValueError:
        return instant


def _is_duration(name: str) -> bool:
    """Whether a field of this name holds seconds, by Vault's naming."""
    return name in _DURATIONS or name.endswith(_DURATION_ENDS)


def answer_table(answer: Answer) -> str:
    """A whole answer as one table, or nothing if it holds nothing to show."""
    rows = [*_lease_rows(answer.body), *_auth_rows(answer.auth), *_wrap_rows(answer.wrap_info)]
    rows += [(key, duration(value) if _is_duration(key) else cell(value)) for key, value in sorted(answer.data.items())]
    return table(rows) if rows else ""


def _lease_rows(body: Object) -> list[tuple[str, str]]:
    seconds = values.number(body.get("lease_duration"))
    if seconds <= 0:
        return []
    lease_id = values.text(body.get("lease_id"))
    if not lease_id:
        return [("refresh_interval", duration(seconds))]
    return [("lease_id", lease_id), ("lease_duration", duration(seconds)), ("lease_renewable", cell(body.get("renewable")))]


def _auth_rows(auth: Object) -> list[tuple[str, str]]:
    if not auth:
        return []
    if requirement := values.mapping(auth.get("mfa_requirement")):
        return [("mfa_request_id", cell(requirement.get("mfa_request_id"))), ("mfa_constraints", cell(requirement.get("mfa_constraints")))]
    seconds = values.number(auth.get("lease_duration"))
    rows = [
        ("token", cell(auth.get("client_token"))),
        ("token_accessor", cell(auth.get("accessor"))),
        ("token_duration", duration(seconds) if seconds else _ENDLESS),
        ("token_renewable", cell(auth.get("renewable"))),
    ]
    rows += [(name, _quoted(auth.get(name))) for name in ("token_policies", "identity_policies", "policies")]
    return rows + [(f"token_meta_{key}", cell(value)) for key, value in sorted(values.mapping(auth.get("metadata")).items())]


def _quoted(names: Json) -> str:
    return f"[{' '.join(values.encode(name) for name in values.texts(names))}]"


def _wrap_rows(wrap: Object) -> list[tuple[str, str]]:
    if not wrap:
        return []
    shown = [(label, name) for label, name in _WRAP_FIELDS.items() if wrap.get(name) or name == "token"]
    return [(f"{label}:", duration(wrap.get(name)) if name == "ttl" else cell(wrap.get(name))) for label, name in shown]


_AUTH_FIELDS = {
    "token": "client_token",
    "token_accessor": "accessor",
    "token_duration": "lease_duration",
    "token_renewable": "renewable",
    "token_policies": "token_policies",
    "identity_policies": "identity_policies",
    "policies": "policies",
}
_WRAP_FIELDS = {
    "wrapping_token": "token",
    "wrapping_accessor": "accessor",
    "wrapping_token_ttl": "ttl",
    "wrapping_token_creation_time": "creation_time",
    "wrapping_token_creation_path": "creation_path",
    "wrapped_accessor": "wrapped_accessor",
}
_LEASE_FIELDS = ("lease_id", "lease_duration", "renewable", "refresh_interval")


def answer_field(answer: Answer, name: str) -> Json:
    """One field of an answer by the name its table shows. Raises CommandError."""
    data = answer.data
    if answer.wrap_info and name in _WRAP_FIELDS:
        return answer.wrap_info.get(_WRAP_FIELDS[name])
    if answer.auth and name in _AUTH_FIELDS:
        return answer.auth.get(_AUTH_FIELDS[name])
    if answer.auth and name.startswith("token_meta_"):
        data = values.mapping(answer.auth.get("metadata"))
        name = name.removeprefix("token_meta_")
    if name in data:
        return pick(data, name)
    if name == "data":
        return data
    if name in _LEASE_FIELDS:
        return answer.body.get("lease_duration" if name == "refresh_interval" else name)
    return pick(data, name)


def pick(data: Object, name: str) -> Json:
    """One field of an object; one that is null is as good as missing, as Vault has it. Raises CommandError."""
    if data.get(name) is None:
        raise CommandError(f'Field "{name}" not present in secret', LOCAL)
    return data[name]


def clean(text: str) -> str:
    """Text without the control characters that could drive a terminal; tabs and line ends stay."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in "\n\t" else _escaped(mark) for mark in text)


def _escaped(mark: str) -> str:
    code = ord(mark)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
