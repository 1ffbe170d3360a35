"""KV version 2 against a dict: whatever clients do in whatever order, both agree on every version after each step."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from strongroom.clock import rfc3339
from strongroom.core.request import Operation
from strongroom.errors import InvalidRequest, NotFound
from strongroom.testing.room import Strongroom

NAMES = st.sampled_from(["a", "a/b c"])
BACK = st.lists(st.integers(-1, 4), min_size=1, max_size=3)
"""Versions counted back from the latest: most of them exist."""
RARELY = st.sampled_from([False, False, False, True])
CAS = st.sampled_from(["none", "none", "right", "wrong"])
SECONDS = 1_000_000_000


@dataclass
class Entry:
    """A version of the model."""

    data: dict[str, Any]
    ends: int = 0
    destroyed: bool = False


@dataclass
class Secret:
    """A secret of the model: settings and versions."""

    versions: dict[int, Entry] = field(default_factory=dict)
    latest: int = 0
    max_versions: int = 0
    after: int = 0
    cas_required: bool = False


class KeyValueMachine(RuleBasedStateMachine):
    """The engine and the model side by side."""

    @initialize()
    def start(self) -> None:
        self.room = Strongroom()
        self.model: dict[str, Secret] = {}
        self.mount = Secret()
        self.write("a", [1, 2], "none")

    @property
    def now(self) -> int:
        return self.room.clock.now()

    def ends(self, secret: Secret) -> int:
        """When a version of now would end."""
        if self.mount.after < 0:
            return 0
        after = min((each for each in (secret.after, self.mount.after) if each), default=0)
        return self.now + after * SECONDS if after else 0

    def live(self, entry: Entry) -> bool:
        """Whether a version can be read."""
        return not entry.destroyed and not 0 < entry.ends <= self.now

    def add(self, name: str, data: dict[str, Any]) -> None:
        """Add a version to the model."""
        secret = self.model.setdefault(name, Secret())
        secret.latest += 1
        secret.versions[secret.latest] = Entry(data, self.ends(secret))
        keep = max(secret.max_versions, self.mount.max_versions) or 10
        number = secret.latest - keep
        while secret.versions.pop(number, None) is not None:
            number -= 1

    @rule(name=NAMES, values=st.lists(st.integers(), min_size=1, max_size=4), cas=CAS)
    def write(self, name: str, values: list[int], cas: str) -> None:
        for value in values:
            secret = self.model.get(name, Secret())
            options = {"none": {}, "right": {"cas": secret.latest}, "wrong": {"cas": secret.latest + 1}}[cas]
            work = self.room.request(Operation.UPDATE, f"secret/data/{name}", {"data": {"v": value}, "options": options})
            required = secret.cas_required or self.mount.cas_required
            if cas == "wrong" or (cas == "none" and required):
                assert isinstance(work.error, InvalidRequest)
            else:
                assert work.error is None
                self.add(name, {"v": value})

    @rule(name=NAMES, value=st.none() | st.integers())
    def patch(self, name: str, value: int | None) -> None:
        secret = self.model.get(name)
        current = secret.versions.get(secret.latest) if secret else None
        if secret and (secret.cas_required or self.mount.cas_required):
            return
        try:
            self.room.patch(f"secret/data/{name}", {"data": {"patched": value}})
        except NotFound:
            assert current is None or not self.live(current)
            return
        assert current is not None and self.live(current)
        merged = current.data | {"patched": value}
        self.add(name, {key: each for key, each in merged.items() if each is not None})

    @rule(name=NAMES)
    def delete_current(self, name: str) -> None:
        self.room.delete(f"secret/data/{name}")
        if name in self.model:
            self._delete(self.model[name], [self.model[name].latest])

    def _delete(self, secret: Secret, numbers: list[int]) -> None:
        for number in numbers:
            entry = secret.versions.get(number)
            if entry is not None and self.live(entry):
                entry.ends = self.now

    @rule(name=NAMES, back=BACK, verb=st.sampled_from(["delete", "delete", "undelete", "undelete", "destroy"]))
    def change(self, name: str, back: list[int], verb: str) -> None:
        secret = self.model.get(name)
        numbers = [(secret.latest if secret else 0) - each for each in back]
        self.room.write(f"secret/{verb}/{name}", {"versions": numbers})
        if secret is None:
            return
        if verb == "delete":
            self._delete(secret, numbers)
            return
        for number in numbers:
            entry = secret.versions.get(number)
            if entry is not None and not entry.destroyed:
                entry.destroyed = verb == "destroy"
                entry.ends = entry.ends if verb == "destroy" else self.ends(secret)

    @rule(name=NAMES, back=BACK)
    def delete_and_undelete(self, name: str, back: list[int]) -> None:
        self.change(name, back, "delete")
        self.change(name, back, "undelete")

    @rule(name=NAMES, really=RARELY)
    def remove(self, name: str, really: bool) -> None:
        if not really:
            return
        self.room.delete(f"secret/metadata/{name}")
        self.model.pop(name, None)

    @rule(name=NAMES, keep=st.integers(0, 4), after=st.sampled_from([0, 0, 5, 60]), cas=RARELY)
    def settings(self, name: str, keep: int, after: int, cas: bool) -> None:
        self.room.write(f"secret/metadata/{name}", {"max_versions": keep, "delete_version_after": after, "cas_required": cas})
        secret = self.model.setdefault(name, Secret())
        secret.max_versions, secret.after, secret.cas_required = keep, after, cas

    @rule(keep=st.integers(0, 4), after=st.sampled_from([-1, 0, 0, 20]), cas=RARELY)
    def config(self, keep: int, after: int, cas: bool) -> None:
        self.room.write("secret/config", {"max_versions": keep, "delete_version_after": after, "cas_required": cas})
        self.mount.max_versions, self.mount.after, self.mount.cas_required = keep, after, cas

    @rule(seconds=st.sampled_from([1, 4, 30]))
    def wait(self, seconds: int) -> None:
        self.room.advance(seconds)

    @invariant()
    def every_version_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        for name in ("a", "a/b c"):
            secret = self.model.get(name, Secret())
            for number in range(secret.latest + 2):
                entry = secret.versions.get(number or secret.latest)
                work = self.room.request(Operation.READ, f"secret/data/{name}", {"version": str(number)})
                if entry is None or not self.live(entry):
                    assert isinstance(work.error, NotFound)
                    assert (work.error.data is None) == (entry is None)
                    continue
                assert work.response is not None
                found = self.room.json(work.response)
                assert found["data"] == entry.data
                assert (found["metadata"]["version"], found["metadata"]["deletion_time"]) == (number or secret.latest, rfc3339(entry.ends))

    @invariant()
    def names_agree_and_nothing_is_left_over(self) -> None:
        if not hasattr(self, "model"):
            return
        try:
            names = self.room.scan("secret/metadata")
        except NotFound:
            names = []
        assert names == sorted(self.model)
        kept = sum(
            1
            for secret in self.model.values()
            for number, each in secret.versions.items()
            if number != secret.latest and not each.destroyed
        )
        mount = self.room.core.mounts.table(self.room.core.transaction(None)).by_path["secret/"]
        assert len(self.room.core.transaction(None).view(mount.uuid).digests(b"")) == kept


TestKeyValue = KeyValueMachine.TestCase
TestKeyValue.settings = settings(max_examples=settings().max_examples // 2)
"""Each example looks at every version after each of its steps."""
