"""Reads transcripts: what was typed, what went over the wire, what was printed.

A file holds cases separated by lines of `%%`. In a case, in this order:
    # one sentence that says what holds
    $ the words after `strongroom`, as a shell would split them
    << a line of standard input                       (any number)
    ENV NAME=value                                    (any number)
    > METHOD /target [JSON body]                      an expected request, each followed by
    < status [JSON body]                              the answer that the scripted server gives
    == exit code
    standard output, line by line
    !!                                                (if anything was written to standard error)
    standard error, line by line
`{address}` and `{home}` stand for the server's address and the home folder. A `~` at a line's end marks an output without a line end.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).with_name("transcripts")


class Exchange(NamedTuple):
    """A request that must come, and its answer."""

    method: str
    target: str
    body: object
    status: int
    answer: object


class Case(NamedTuple):
    """One command line with everything it must cause."""

    title: str
    words: list[str]
    stdin: str
    environment: dict[str, str]
    exchanges: list[Exchange]
    code: int
    out: str
    err: str


def load() -> list[tuple[str, Case]]:
    """Every case of every file, with an id."""
    found: list[tuple[str, Case]] = []
    for path in sorted(FOLDER.glob("*.txt")):
        cases = [parse(text) for text in path.read_text(encoding="utf-8").removesuffix("\n").split("\n%%\n")]
        found += [(f"{path.stem}: {case.title}", case) for case in cases]
    return found


def parse(text: str) -> Case:
    """One case."""
    head, _, tail = text.partition("\n== ")
    lines = head.splitlines()
    code, _, printed = tail.partition("\n")
    out, _, err = f"\n{printed}".partition("\n!!\n")
    given = [line[4:].partition("=") for line in lines if line.startswith("ENV ")]
    return Case(
        next(line[2:] for line in lines if line.startswith("# ")),
        shlex.split(next(line[2:] for line in lines if line.startswith("$ "))),
        "".join(f"{line[3:]}\n" for line in lines if line.startswith("<<")),
        {name: value for name, _, value in given},
        _exchanges([line for line in lines if line.startswith(("> ", "< "))]),
        int(code),
        _ended(out[1:]),
        _ended(err),
    )


def _ended(text: str) -> str:
    return text[:-1] if text.endswith("~") else text and f"{text}\n"


def _exchanges(lines: list[str]) -> list[Exchange]:
    found: list[Exchange] = []
    for asked, answered in zip(lines[::2], lines[1::2], strict=True):
        method, target, *body = asked[2:].split(" ", 2)
        status, *answer = answered[2:].split(" ", 1)
        found.append(
            Exchange(method, target, json.loads(body[0]) if body else None, int(status), json.loads(answer[0]) if answer else None)
        )
    return found
