"""completion: a static script for bash, zsh or fish, made from the declared commands.

Rules of this file:
- The scripts run nothing: they hold every command and flag as it was when they were made. Make them anew after an update.
"""

from __future__ import annotations

from strongroom.cli import verbs
from strongroom.cli.command import GLOBAL_FLAGS, Command
from strongroom.cli.errors import SUCCESS, UsageError
from strongroom.cli.session import Session

Words = dict[str, list[str]]


def completion(session: Session) -> int:
    """Print a completion script: bash, zsh or fish."""
    shell = session.arguments[0]
    if shell not in _SCRIPTS:
        raise UsageError(f"there are scripts for {', '.join(_SCRIPTS)}")
    session.say(_SCRIPTS[shell]())
    return SUCCESS


def all_commands() -> list[Command]:
    """Every declared command, by name."""
    return sorted((command for verb in verbs.VERBS for command in verbs.load(verb)), key=lambda command: command.name)


def next_words() -> Words:
    """What may follow each word or two: sub-commands, or a command's flags."""
    follow: Words = {}
    for command in all_commands():
        _add(follow, command.name)
        follow[command.name] = sorted(f"-{flag.name}" for flag in (*command.flags, *GLOBAL_FLAGS))
    for name in verbs.SERVER_COMMANDS:
        _add(follow, name)
        follow.setdefault(name, [])
    return follow


def _add(follow: Words, name: str) -> None:
    words = name.split()
    for index, word in enumerate(words):
        known = follow.setdefault(" ".join(words[:index]), [])
        if word not in known:
            known.append(word)
            known.sort()


def bash() -> str:
    """For `source <(strongroom completion bash)`."""
    cases = "\n".join(f'    "{name}") words="{" ".join(words)}" ;;' for name, words in sorted(next_words().items()))
    return f"""# bash completion for strongroom: source this file, or put it into a completion folder.
_strongroom() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" words="" name=""
  local -a typed=()
  local word
  for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
    [[ $word == -* || ${{#typed[@]}} -ge 3 ]] || typed+=("$word")
  done
  local count=${{#typed[@]}}
  while :; do
    name="${{typed[*]:0:count}}"
    case "$name" in
{cases}
    *) words="?" ;;
    esac
    [[ $words == "?" && $count -gt 0 ]] || break
    count=$((count - 1))
  done
  [[ $words == "?" ]] && words=""
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ ${{#COMPREPLY[@]}} -gt 0 ]] || COMPREPLY=($(compgen -f -- "$current"))
}}
complete -F _strongroom strongroom"""


def zsh() -> str:
    """For a file in $fpath, or `source <(strongroom completion zsh)`."""
    return f"#compdef strongroom\nautoload -U +X bashcompinit && bashcompinit\n{bash()}"


def fish() -> str:
    """For ~/.config/fish/completions/strongroom.fish."""
    lines = ["# fish completion for strongroom", "complete -c strongroom -f"]
    for name, words in sorted(next_words().items()):
        seen = " ; and ".join(f"__fish_seen_subcommand_from {word}" for word in name.split())
        condition = seen or "__fish_use_subcommand"
        flags = [word for word in words if word.startswith("-")]
        plain = [word for word in words if not word.startswith("-")]
        if plain:
            lines.append(f"complete -c strongroom -n '{condition}' -a '{' '.join(plain)}'")
        lines += [f"complete -c strongroom -n '{condition}' -o {flag[1:]}" for flag in flags]
    return "\n".join(lines)


_SCRIPTS = {"bash": bash, "zsh": zsh, "fish": fish}

COMMANDS = (
    Command(
        "completion",
        "bash|zsh|fish",
        completion,
        (),
        1,
        1,
        "strongroom completion bash > ~/.local/share/bash-completion/completions/strongroom",
    ),
)
