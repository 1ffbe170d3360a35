"""Whatever order of sealing, unsealing, rekeying, rotating and crashing: what was stored reads back, and its holders are never locked out.

The machine is a holder's view: it knows only what it was answered. A crash takes the process between a commit and its answer, or
before the commit.
"""

from __future__ import annotations

import os
from itertools import count
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from strongroom.barrier.scrub import scrub
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest
from strongroom.storage.memory import MemoryGroup, MemoryStorage
from strongroom.testing import Strongroom


class Crash(BaseException):
    """The process is gone."""


class Mortal(MemoryStorage):
    """Dies at the nth commit from now, before or after it."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 0
        self.after = False

    def begin(self, since: int, keys: Any) -> MemoryGroup:
        group = super().begin(since, keys)
        commit = group.commit

        def mortal() -> None:
            self.left -= 1
            if self.left == 0 and not self.after:
                group.abandon()
                raise Crash
            commit()
            if self.left == 0:
                raise Crash

        group.commit = mortal  # type: ignore[method-assign]
        return group


class Sealing(RuleBasedStateMachine):
    """`known` are the share sets somebody holds, newest last; `values` what was acknowledged."""

    @initialize()
    def begin(self) -> None:
        self.storage = Mortal()
        self.room = Strongroom(storage=self.storage, secret_shares=3, secret_threshold=2)
        self.known = [self.room.unseal_keys]
        self.values: dict[str, set[str]] = {}
        self.numbers = count()

    # -- what a holder can do -----------------------------------------------------------------------------------

    def attempt(self, path: str, operation: Operation = Operation.UPDATE, **fields: Any) -> Any:
        """One request; None when the process died of it, and then another one is started and unsealed."""
        try:
            return self.room.ask(operation, path, fields).data or {}
        except Crash:
            self.revive()
            return None

    def revive(self) -> None:
        self.storage.left = 0
        self.room.restart()
        self.unseal()

    def unseal(self) -> None:
        """Some set that somebody holds opens the store; the newest one is tried first."""
        for keys in reversed(self.known):
            self.room.unseal_keys = keys
            try:
                self.room.unseal()
            except InvalidRequest:
                continue
            return
        raise AssertionError("locked out")

    @rule(name=st.sampled_from("abcd"))
    def write(self, name: str) -> None:
        value = f"value {next(self.numbers)}"
        done = self.attempt(f"cubbyhole/{name}", value=value)
        self.values[name] = {value} if done is not None else self.values.get(name, {""}) | {value}

    @rule(name=st.sampled_from("abcd"))
    def read(self, name: str) -> None:
        if name in self.values and "" not in self.values[name]:
            assert self.room.json(self.room.read(f"cubbyhole/{name}"))["value"] in self.values[name]

    @rule()
    def seal_and_unseal(self) -> None:
        self.attempt("sys/seal")
        assert self.room.core.barrier.sealed or self.storage.left < 0
        self.unseal()

    @rule()
    def crash(self) -> None:
        self.revive()

    @rule(commits=st.integers(1, 6), after=st.booleans())
    def crash_soon(self, commits: int, after: bool) -> None:
        self.storage.left, self.storage.after = commits, after

    @rule()
    def rotate_keyring(self) -> None:
        self.attempt("sys/rotate")

    @rule(seconds=st.sampled_from([1, 6, 700, 4_000, 86_400]))
    def wait(self, seconds: int) -> None:
        try:
            self.room.advance(seconds)
        except Crash:
            self.revive()

    @rule(verify=st.booleans())
    def rekey(self, verify: bool) -> None:
        if self.attempt("sys/rotate/root/init", Operation.DELETE) is None:
            return
        fields = {"secret_shares": 3, "secret_threshold": 2, "require_verification": verify}
        started = self.attempt("sys/rotate/root/init", Operation.UPDATE, **fields)
        done = started and self.give("update", self.room.unseal_keys, started["nonce"])
        if not done:
            return
        self.known.append(done["keys"])
        if not verify or self.give("verify", done["keys"], done["verification_nonce"]):
            self.room.unseal_keys = done["keys"]

    def give(self, step: str, keys: list[str], nonce: str) -> Any:
        """Two holders give their shares; the last answer, None when the process died on the way."""
        answer = None
        for key in keys[:2]:
            answer = self.attempt(f"sys/rotate/root/{step}", key=key, nonce=nonce)
            if answer is None:
                return None
        return answer

    @rule()
    def a_stranger_tries(self) -> None:
        for key in ("00" * 33, "rubbish", ""):
            work = self.room.request(Operation.UPDATE, "sys/unseal", {"key": key}, token="")
            assert work.error is None or isinstance(work.error, InvalidRequest)

    # -- what always holds --------------------------------------------------------------------------------------

    @precondition(lambda self: hasattr(self, "room"))
    @invariant()
    def open_and_consistent(self) -> None:
        assert not self.room.core.barrier.sealed
        assert self.room.core.barrier.index().gsn == self.storage.changed(0).gsn

    def teardown(self) -> None:
        if hasattr(self, "room"):
            self.storage.left = 0
            assert scrub(self.room.core.barrier).clean
            self.room.restart()
            self.unseal()
            for name in self.values:
                self.read(name)


TestSealing = Sealing.TestCase
if os.environ.get("STRONGROOM_TEST_PROFILE", "ci") == "ci":
    TestSealing.settings = settings(max_examples=25, stateful_step_count=25)
