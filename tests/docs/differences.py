"""The page of what strongroom answers otherwise than Vault: docs/differences.md, from the recorded conversations.

Rules of this file: a reason is told once, with the first request that it stands at; nothing is on the page that is not in a conversation.
"""

from __future__ import annotations

from collections import Counter

from tests.conformance.recorded.conversation import HERE, Step, load

HEAD = """# What is answered otherwise than by Vault

<!-- Made by `make docs` from tests/conformance/recorded; edits here are lost. -->

{steps:,} requests were put to HashiCorp Vault 1.18.1, and its answers recorded
([decision 150](decisions/150-conversations-recorded-with-vault.md)); in every test run they are put to strongroom.
{same:,} of the answers are the same in every status, member, value and text, save ids, instants and tokens.
The others differ for the reasons below. "Status" is Vault's, and strongroom's where it is another one.
"""


def _status(step: Step) -> str:
    assert step.answer is not None
    assert step.ours is not None
    theirs, ours = step.answer.status, step.ours.answer.status
    return str(theirs) if theirs == ours else f"{theirs}, {ours}"


def _asked(step: Step) -> str:
    text = step.do.replace("|", "\\|")
    return f"`{text if len(text) <= 60 else text[:57] + '…'}`"


def differences_page() -> str:
    """The page, reasons in the order of the conversations."""
    every = {path.stem: load(path) for path in sorted(HERE.glob("*.json"))}
    steps = [step for each in every.values() for step in each]
    counts = Counter(step.ours.because for step in steps if step.ours)
    lines = [HEAD.format(steps=len(steps), same=len(steps) - counts.total())]
    told = set[str]()
    for name, conversation in every.items():
        fresh: dict[str, Step] = {}
        for step in conversation:
            if step.ours and step.ours.because not in told:
                fresh.setdefault(step.ours.because, step)
        told |= fresh.keys()
        if fresh:
            title = name.replace("_", " ")
            lines += [f"## {title}\n", "| asked | status | why | times |", "|---|---|---|---|"]
            lines += [f"| {_asked(step)} | {_status(step)} | {because} | {counts[because]} |" for because, step in fresh.items()]
            lines.append("")
    return "\n".join(lines)
