"""Each transcript below `transcripts/` is what the command line sends and prints."""

from __future__ import annotations

import json

import pytest

from tests.cli.run import Runner, runner
from tests.cli.transcript import Case, load
from tests.client.scripted import answer, serve

__all__ = ["runner"]
CASES = load()


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=[name for name, _ in CASES])
def test_a_command_sends_and_prints_what_its_transcript_says(case: Case, runner: Runner) -> None:
    with serve(*(answer(exchange.status, exchange.answer) for exchange in case.exchanges), per_connection=100) as server:
        runner.set({"VAULT_ADDR": server.address, "VAULT_TOKEN": "srs_of_the_test", **case.environment})
        result = runner(*case.words, stdin=case.stdin)
    sent = [(asked.method, asked.target, json.loads(asked.body) if asked.body else None) for asked in server.asked]
    assert sent == [(exchange.method, exchange.target, exchange.body) for exchange in case.exchanges], result
    shown = [text.replace(server.address, "{address}").replace(str(runner.home), "{home}") for text in (result.out, result.err)]
    assert (result.code, *shown) == (case.code, case.out, case.err)
    assert "srs_of_the_test" not in result.err
