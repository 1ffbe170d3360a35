"""Help, made from the declarations. Loaded only when someone asks.

Rules of this file:
- Nothing is written twice: a command's own summary, flags and detail are the whole text.
"""

from __future__ import annotations

from strongroom.cli import verbs
from strongroom.cli.command import CONNECTION_FLAGS, OUTPUT_FLAGS, Command
from strongroom.cli.flags import Flag


def overview() -> str:
    """What `strongroom` alone prints."""
    entries = _first_words()
    width = max(map(len, entries))
    lines = [f"  {name.ljust(width)}  {summary}" for name, summary in sorted(entries.items())]
    return "\n".join(["Usage: strongroom COMMAND [flags] [arguments]", "", *lines, "", "More on each: strongroom COMMAND -help"])


def group(name: str) -> str:
    """What a word with sub-commands prints."""
    entries = dict(sorted(_below(name).items()))
    width = max(map(len, entries))
    lines = [f"  {entry.ljust(width)}  {summary.removesuffix('.')}" for entry, summary in entries.items()]
    title, end = f"Usage: strongroom {name} COMMAND [flags] [arguments]", f"More on each: strongroom {name} COMMAND -help"
    return "\n".join([title, "", *lines, "", end])


def command(shown: Command) -> str:
    """What -help prints for one command."""
    words = f"Usage: strongroom {shown.name} [flags] {shown.arguments}".rstrip()
    parts = [words, "", f"  {shown.summary}"]
    if shown.detail:
        parts += ["", *(f"  {line}".rstrip() for line in shown.detail.strip().splitlines())]
    for title, flags in (("Flags", shown.flags), ("Output", OUTPUT_FLAGS), ("Connection", CONNECTION_FLAGS)):
        if flags:
            parts += ["", f"{title}:", *map(_flag, flags)]
    return "\n".join(parts)


def next_words(name: str) -> list[str]:
    """The words that can follow `strongroom <name>`."""
    return [*(_below(name) if name else _first_words())]


def _first_words() -> dict[str, str]:
    entries = {name: verb.summary for name, verb in verbs.VERBS.items() if " " not in name}
    return entries | {name: summary for name, summary in verbs.SERVER_COMMANDS.items() if " " not in name}


def _below(name: str) -> dict[str, str]:
    words = len(name.split())
    entries = {shown.name.split()[words]: shown.summary for shown in verbs.load(name) if len(shown.name.split()) > words}
    inner = {verb: entry.summary for verb, entry in verbs.VERBS.items()} | verbs.SERVER_COMMANDS
    longest_first = sorted(inner.items(), key=lambda item: -len(item[0].split()))  # so that a group speaks for what is below it
    return entries | {verb.split()[words]: summary for verb, summary in longest_first if verb.startswith(f"{name} ")}


def _flag(flag: Flag) -> str:
    names = ", ".join(f"-{name}" for name in (flag.name, *flag.aliases))
    values = {"switch": "", "number": "=N", "text": "=VALUE", "many": "=VALUE …"}[flag.kind]
    return f"  {names + values:<30} {flag.help}"
