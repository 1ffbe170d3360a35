"""Which module holds which commands. The only list there is; help and completion follow it.

Rules of this file:
- A module is found by name below `cli/commands/` and imported only when one of its commands is run, or for help.
- A longer entry wins: `kv metadata` is not in the module of `kv`.
- Server-side commands live in `strongroom.server.commands`, which the command line loads by name and hands its arguments to.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from strongroom.cli.command import Command


class Verb(NamedTuple):
    """A first word (or two) of commands: the module, and a line for the overview."""

    module: str
    summary: str


VERBS = {
    "read": Verb("basic", "Read a path"),
    "write": Verb("basic", "Write data to a path, or call an endpoint"),
    "delete": Verb("basic", "Delete what is at a path"),
    "list": Verb("basic", "List the names below a path"),
    "patch": Verb("basic", "Merge data into what is at a path"),
    "path-help": Verb("basic", "Show the server's help for a path"),
    "unwrap": Verb("basic", "Take the answer out of a wrapping token"),
    "login": Verb("login", "Log in and keep the token"),
    "agent": Verb("agent", "Enrol an agent and change its key"),
    "ci": Verb("ci", "Let the jobs of a CI system log in"),
    "kv": Verb("kv", "Work with key/value secrets"),
    "kv metadata": Verb("kv_metadata", "Work with the metadata of versioned secrets"),
    "status": Verb("status", "Show whether the server is initialised and unsealed"),
    "token": Verb("token", "Create, look up, renew and revoke tokens"),
    "policy": Verb("policy", "Read and write policies"),
    "secrets": Verb("secrets", "Manage secrets engines"),
    "auth": Verb("auth", "Manage auth methods"),
    "audit": Verb("audit", "Manage audit devices, verify audit logs"),
    "lease": Verb("lease", "Look up, renew and revoke leases"),
    "operator": Verb("operator", "Initialise, unseal, seal and maintain a server"),
    "operator rekey": Verb("rekey", "Make new unseal or recovery keys"),
    "operator raft": Verb("raft", "Take and restore snapshots over the API, by the names that Vault has"),
    "operator raft snapshot": Verb("raft", "Take and restore snapshots over the API"),
    "operator snapshot": Verb("raft", "Take, check, restore and rehearse snapshots, on the server's host"),
    "operator generate-root": Verb("generate_root", "Make a root token with a quorum of key holders"),
    "monitor": Verb("observe", "Print what the server logs, as it does"),
    "version-history": Verb("observe", "Show which versions the server was"),
    "print": Verb("local", "Print what this command line would use"),
    "version": Verb("local", "Print the version"),
    "completion": Verb("completion", "Print a completion script for a shell"),
}

SERVER_COMMANDS = {
    "server": "Run a server: -config=FILE, or -dev",
    "up": "Set up and serve a ready-to-use server on this machine",
    "operator scrub": "Check the whole store against its authenticated index",
    "operator snapshot save": "Take a snapshot, beside a running server or of a stopped one",
    "operator snapshot inspect": "Say what a snapshot holds and whether it is whole; no key is needed",
    "operator snapshot restore": "Put a snapshot in the place of a stopped server's store",
    "operator snapshot rehearse": "Restore a snapshot into a store of its own, scrub that, and say how long it took",
    "operator snapshot keygen": "Make a key pair for somebody to whom snapshots are sealed",
    "operator migrate": "Copy the whole store of one configuration into the empty one of another",
    "audit verify": "Check audit logs for edits, gaps and swaps",
}


def load(verb: str) -> tuple[Command, ...]:
    """The commands of a verb's module that belong to the verb."""
    module = import_module(f"strongroom.cli.commands.{VERBS[verb].module}")
    commands: tuple[Command, ...] = module.COMMANDS
    return tuple(command for command in commands if owner(command.name.split()) == verb)


def owner(words: list[str]) -> str:
    """The verb whose module handles these words, or nothing."""
    return next((verb for count in (3, 2, 1) if (verb := " ".join(words[:count])) in VERBS), "")


def run_server_command(words: list[str]) -> int | None:
    """Hand over to the server's own commands if these words name one; None otherwise."""
    name = next((name for count in (3, 2, 1) if (name := " ".join(words[:count])) in SERVER_COMMANDS), "")
    if not name:
        return None
    code: int = import_module("strongroom.server.commands").run(name, words[len(name.split()) :])
    return code
