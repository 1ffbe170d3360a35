"""What is said of a word that is no command. Loaded only for mistakes.

Rules of this file:
- A word of Vault's that is not here gets a sentence on what to use in its place; any other one the nearest that there is.
- An answer is a few lines: who mistyped a word does not want to read the list of all.
"""

from __future__ import annotations

from collections.abc import Iterable

ELSEWHERE = {
    "debug": "'strongroom status', 'strongroom read sys/metrics' and 'strongroom monitor' say what it would collect",
    "events": "the audit devices carry every request and answer ('strongroom audit list')",
    "namespace": "there is the root namespace only; -namespace=root and an empty VAULT_NAMESPACE are accepted",
    "pki": "there is no pki engine yet",
    "plugin": "engines and auth methods are part of the program; there is nothing to register",
    "proxy": "programs talk to the server itself, with a token of their own ('strongroom login', 'strongroom agent')",
    "ssh": "there is no ssh engine yet",
    "transform": "there is no transform engine",
    "transit": "there is no transit engine yet",
    "operator diagnose": "'strongroom server -config=FILE' says what is wrong with a configuration, 'operator scrub' checks a store",
    "operator raft autopilot": "there is no Raft: all nodes on one database are equal ('strongroom operator members')",
    "operator raft join": "there is no Raft: a node joins by its configuration, which names the database that all share",
    "operator raft list-peers": "there is no Raft: 'strongroom operator members' lists the nodes",
    "operator raft remove-peer": "there is no Raft: a node that was stopped is no member any more ('strongroom operator members')",
    "operator raft snapshot inspect": "'strongroom operator snapshot inspect' says what a snapshot holds",
    "operator usage": "nothing is counted for a bill",
    "operator utilization": "nothing is counted for a bill",
    "-autocomplete-install": 'put this into ~/.bashrc: eval "$(strongroom completion bash)" (or zsh, fish)',
    "-autocomplete-uninstall": "take the line with 'strongroom completion' out of your shell's start file",
}
"""Words that Vault's command line has and this one has not."""


def no_such(group: str, word: str, known: Iterable[str]) -> str:
    """The answer to `strongroom <group> <word>`; `known` are the words that could stand there."""
    name = f"{group} {word}".strip()
    more = f"All there are: strongroom {group} -help".replace("  ", " ")
    if name in ELSEWHERE:
        return f"there is no command {name!r} here: {ELSEWHERE[name]}"
    if word.startswith("-"):
        return f"flags stand behind the command: strongroom {f'{group} COMMAND'.strip()} [flags] [arguments]\n\n{more}"
    return f"there is no command {name!r}{_nearest(group, word, known)}\n\n{more}"


def _nearest(group: str, word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, list(known), n=1)
    return f"; did you mean '{f'{group} {close[0]}'.strip()}'?" if close else ""
